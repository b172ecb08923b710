//! fraktalia-docker
