//! Agents and leaders together, over one log and a network without delay.

mod calls;
mod cluster;
mod crash;
mod interleavings;
mod lease;
mod leaving;
mod lost;
mod moving;
mod performing;
mod plans;
mod progress;
