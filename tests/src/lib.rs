//! fraktalia-tests
