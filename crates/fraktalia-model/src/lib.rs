//! fraktalia-model
