//! fraktalia-engine
