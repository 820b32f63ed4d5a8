//! Serves one bucket with Mountpoint's library, in the foreground: `mount-s3 BUCKET DIRECTORY [options]`.
//!
//! A peer in the benches of mountctl, which give it and a real mount-s3 the same command line. It knows the options
//! that they use, by Mountpoint's names and with Mountpoint's defaults: parts of 8 MiB, 16 FUSE threads, 10 Gbps,
//! 95 % of the memory. It logs errors to stderr and does nothing else that Mountpoint's program does.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use mountpoint_s3_client::config::{AddressingStyle, RustLogAdapter, TlsConfig};
use mountpoint_s3_client::user_agent::UserAgent;
use mountpoint_s3_fs::data_cache::DataCacheConfig;
use mountpoint_s3_fs::fs::{CacheConfig, TimeToLive};
use mountpoint_s3_fs::fuse::config::{FuseOptions, FuseSessionConfig, MountPoint};
use mountpoint_s3_fs::memory::{
    CandidateSize, MINIMUM_MEM_LIMIT, PagedPool, effective_total_memory,
};
use mountpoint_s3_fs::s3::config::{
    ClientConfig, MemoryLimitSetting, PartConfig, Region, TargetThroughputSetting,
};
use mountpoint_s3_fs::s3::{Bucket, Prefix, S3Path, S3Personality};
use mountpoint_s3_fs::{
    MountpointConfig, Runtime, S3FilesystemConfig, Superblock, SuperblockConfig,
};
use tikv_jemallocator::Jemalloc;
use tracing_subscriber::EnvFilter;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// As Mountpoint sets it.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static ALLOCATOR_SETTINGS: &[u8] = b"abort_conf:true,background_thread:true,narenas:32\0";

const PART_BYTES: usize = 8 << 20;
const FUSE_THREADS_MAX: usize = 16;
const MEMORY_SHARE: f64 = 0.95;

/// Mountpoint for Amazon S3, as its library serves it.
#[derive(Parser)]
#[command(name = "mount-s3", version = "mountpoint-s3-fs 0.11.0")]
struct Options {
    bucket: String,
    directory: PathBuf,
    #[arg(long)]
    endpoint_url: Option<String>,
    #[arg(long, default_value = "us-east-1")]
    region: String,
    #[arg(long)]
    force_path_style: bool,
    #[arg(long, default_value = "minimal")]
    metadata_ttl: TimeToLive,
    #[arg(long)]
    ca_bundle: Option<PathBuf>,
    #[arg(long)]
    read_only: bool,
    #[arg(long)]
    allow_delete: bool,
    #[arg(long)]
    allow_overwrite: bool,
    /// Always so; a real mount-s3 needs to be told.
    #[arg(long)]
    foreground: bool,
}

impl Options {
    fn client(&self, memory: usize) -> Result<ClientConfig> {
        Ok(ClientConfig {
            region: Region::new_user_specified(self.region.clone()),
            endpoint_url: self.endpoint_url.clone(),
            addressing_style: if self.force_path_style {
                AddressingStyle::Path
            } else {
                AddressingStyle::Automatic
            },
            dual_stack: false,
            transfer_acceleration: false,
            auth_config: Default::default(),
            requester_pays: false,
            expected_bucket_owner: None,
            throughput_target: TargetThroughputSetting::Default,
            bind: None,
            part_config: PartConfig::with_part_size(PART_BYTES)
                .validate(MemoryLimitSetting::Default(memory))?,
            user_agent: UserAgent::new(None),
            tls_config: self.ca_bundle.as_ref().map(|path| TlsConfig {
                trust_store_path: Some(path.clone()),
            }),
        })
    }

    fn filesystem(&self) -> S3FilesystemConfig {
        S3FilesystemConfig {
            cache_config: CacheConfig::new(self.metadata_ttl),
            allow_delete: self.allow_delete,
            allow_overwrite: self.allow_overwrite,
            s3_personality: S3Personality::Standard,
            read_only: self.read_only,
            ..Default::default()
        }
    }

    fn session(&self) -> Result<FuseSessionConfig> {
        let options = FuseOptions {
            read_only: self.read_only,
            ..Default::default()
        };
        FuseSessionConfig::new(MountPoint::new(&self.directory)?, options, FUSE_THREADS_MAX)
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    RustLogAdapter::try_init().ok();
    let filter = EnvFilter::builder()
        .with_default_directive("error".parse()?)
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();

    let memory = ((effective_total_memory() as f64 * MEMORY_SHARE) as usize).max(MINIMUM_MEM_LIMIT);
    let pool = PagedPool::config()
        .with_candidate_sizes([
            CandidateSize::prunable(PART_BYTES),
            CandidateSize::new(PART_BYTES),
        ])
        .with_memory_limit(memory)
        .build();
    let path = S3Path::new(Bucket::new(&options.bucket)?, Prefix::empty());
    let client = options
        .client(memory)?
        .create_client(pool.clone(), Some(&path))?;
    let filesystem = options.filesystem();
    let superblock = Superblock::new(
        client.clone(),
        path,
        SuperblockConfig {
            cache_config: filesystem.cache_config.clone(),
            s3_personality: S3Personality::Standard,
        },
    );
    let runtime = Runtime::new(client.event_loop_group());
    MountpointConfig::new(options.session()?, filesystem, DataCacheConfig::default())?
        .create_fuse_session(superblock, client, runtime, pool)?
        .join()
        .context("the session ended badly")
}
