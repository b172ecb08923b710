//! The nftables table that closes the networks of sandboxes.
