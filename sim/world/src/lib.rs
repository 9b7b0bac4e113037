//! A simulated world of named hosts: one clock, links, faults, disks and a seed.
#![forbid(unsafe_code)]
