//! Replays the committed corpora of the fuzz targets: an input found once stays a test.

mod corpus;
