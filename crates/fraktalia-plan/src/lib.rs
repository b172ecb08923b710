//! fraktalia-plan
