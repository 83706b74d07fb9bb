//! What a server says of its logs while it serves them.

use async_std::task;
use hypercore::{Event, Events, Hypercore, Length, Watch};
use serde_json::{Value, json};

use crate::output::{self, Output};

/// Reports on every log, each in a task of its own that ends with the log.
pub(super) fn start(logs: &[Hypercore], verbose: bool, output: Output) {
    for log in logs {
        let name = (logs.len() > 1).then(|| log.discovery_key().to_string());
        let reporter = Reporter {
            log: log.clone(),
            name,
            output,
        };
        // Subscribed to before anything can happen.
        task::spawn(reporter.clone().appends(log.watch(), log.length()));
        if verbose {
            task::spawn(reporter.uploads(log.events()));
        }
    }
}

#[derive(Clone)]
struct Reporter {
    log: Hypercore,
    /// Which log it is, where there are several.
    name: Option<String>,
    output: Output,
}

impl Reporter {
    async fn appends(self, mut watch: Watch, mut length: Length) {
        while let Some(state) = watch.next().await {
            if state.length <= length {
                length = state.length;
                continue;
            }
            length = state.length;
            let padding = self.log.padding().saturating_mul(length.get());
            let bytes = state.byte_length.get().saturating_sub(padding);
            let value = json!({ "event": "append", "length": length.get(), "byteLength": bytes });
            self.say(value, || {
                let blocks = output::blocks(length.get());
                format!("the log has {blocks} now, {}", output::bytes(bytes))
            });
        }
    }

    async fn uploads(self, mut events: Events) {
        while let Some(event) = events.next().await {
            match event {
                Event::Upload {
                    index, byte_length, ..
                } => {
                    let (index, bytes) = (index.get(), byte_length.get());
                    let value = json!({ "event": "upload", "index": index, "byteLength": bytes });
                    self.say(value, || {
                        format!("block {index} sent, {}", output::bytes(bytes))
                    });
                }
                Event::Lagged(events) => {
                    let value = json!({ "event": "lagged", "events": events });
                    self.say(value, || {
                        format!("{events} events were too fast to be told")
                    });
                }
                _ => {}
            }
        }
    }

    fn say(&self, mut value: Value, text: impl FnOnce() -> String) {
        if let Some(name) = &self.name {
            value["discoveryKey"] = name.as_str().into();
        }
        // Serving is the task; that nobody listens to what is said about it does not end it.
        let _ = self.output.result(&value, text);
    }
}
