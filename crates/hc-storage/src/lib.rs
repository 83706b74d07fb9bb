//! Append-only logs on disk: a checksummed commit log with a rebuildable index.
