//! fraktalia-openclaw
