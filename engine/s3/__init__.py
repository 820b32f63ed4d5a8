"""The only place that talks to S3: signing, connections, requests, retries."""
