"""One supervising task per mount, around sessions that outlive the engines which serve them."""
