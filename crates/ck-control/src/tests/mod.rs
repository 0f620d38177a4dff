//! Agents and leaders together, over one log and a network without delay.

mod cluster;
mod crash;
mod lease;
mod moving;
