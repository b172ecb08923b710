//! fraktalia-workspace
