//! Workloads on one store of many logs.

use serde_json::json;

use crate::Args;
use crate::meter::{Report, fields};

pub(crate) async fn create(_args: &Args) -> anyhow::Result<Report> {
    Ok(fields(
        json!({ "unsupported": "no store of many logs yet" }),
    ))
}

pub(crate) async fn open(args: &Args) -> anyhow::Result<Report> {
    create(args).await
}
