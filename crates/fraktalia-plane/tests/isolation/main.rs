//! Closed networks, judged by packets: namespaces play the host, its LAN with the internet behind it, two sandboxes
//! and the container of another network. Nothing here touches the machine's own network or rules.

#![expect(clippy::print_stdout, reason = "figures, for whoever reads the output of a test")]

mod echo;
mod engine;
mod flows;
mod forwards;
mod frames;
mod guarding;
mod load;
mod ns;
mod packet;
mod policy;
mod probe;
mod realms;
mod world;
