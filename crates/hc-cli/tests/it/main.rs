//! The command line as a user and a script meet it: processes, their output and their exit codes.

mod badness;
mod demo;
mod encryption;
mod local;
mod memory;
mod network;
mod proxy;
mod run;
mod signals;
