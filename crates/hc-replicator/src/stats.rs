//! Counters. Knows nothing of what is done with them.

use hc_protocol::message::Message;

/// Messages of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Sync messages.
    pub sync: u64,
    /// Requests.
    pub request: u64,
    /// Cancels.
    pub cancel: u64,
    /// Answers.
    pub data: u64,
    /// Refusals.
    pub no_data: u64,
    /// Wants.
    pub want: u64,
    /// Wants taken back.
    pub unwant: u64,
    /// Bitfields.
    pub bitfield: u64,
    /// Ranges.
    pub range: u64,
    /// Messages of extensions.
    pub extension: u64,
}

impl Counts {
    pub(crate) fn count(&mut self, message: &Message) {
        let counter = match message {
            Message::Sync(_) => &mut self.sync,
            Message::Request(_) => &mut self.request,
            Message::Cancel(_) => &mut self.cancel,
            Message::Data(_) => &mut self.data,
            Message::NoData(_) => &mut self.no_data,
            Message::Want(_) => &mut self.want,
            Message::Unwant(_) => &mut self.unwant,
            Message::Bitfield(_) => &mut self.bitfield,
            Message::Range(_) => &mut self.range,
            Message::Extension(_) => &mut self.extension,
        };
        *counter += 1;
    }
}

/// What happened so far, with one peer or with all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Messages sent.
    pub sent: Counts,
    /// Messages received.
    pub received: Counts,
    /// Steps of the search for what to ask for: peers, ranges, and runs of blocks that were passed over.
    /// Counted with all peers alone. In proportion to what is asked for, whatever the length of the log.
    pub looked_at: u64,
    /// Blocks that were asked for and stored.
    pub blocks_downloaded: u64,
    /// Their bytes.
    pub bytes_downloaded: u64,
    /// Blocks sent.
    pub blocks_uploaded: u64,
    /// Their bytes.
    pub bytes_uploaded: u64,
    /// Blocks sent without being asked for, as far as they were new to the peer.
    pub pushed: u64,
    /// Blocks that were taken without being asked for.
    pub pushes_taken: u64,
    /// Requests for a block that another peer had been asked for.
    pub hotswaps: u64,
    /// Answers that did not verify.
    pub invalid_data: u64,
    /// Requests that no log could answer.
    pub invalid_requests: u64,
    /// Refusals because a block is not there.
    pub not_available: u64,
    /// Refusals because a request made no sense to the remote.
    pub refused_as_invalid: u64,
}
