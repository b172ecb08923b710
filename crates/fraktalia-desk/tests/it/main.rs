//! The desk, its store and its audit, from outside.

mod audit;
mod filed;
mod floods;
mod fragments;
mod greet;
mod kill;
mod misuse;
mod random;
mod room;
mod stories;
