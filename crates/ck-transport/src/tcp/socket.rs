//! The bytes' way: a TCP connection, encrypted or not.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use ck_core::NodeId;
use ck_tls::{PeerStream, PeerTls};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// A connection to a peer.
pub(super) enum Socket {
    Plain(TcpStream),
    /// Boxed: it is much larger than the other.
    Tls(Box<PeerStream>),
}

/// The half of a [`Socket`] that is read.
pub(super) enum ReadHalf {
    Plain(OwnedReadHalf),
    Tls(tokio::io::ReadHalf<PeerStream>),
}

/// The half of a [`Socket`] that is written.
pub(super) enum WriteHalf {
    Plain(OwnedWriteHalf),
    Tls(tokio::io::WriteHalf<PeerStream>),
}

/// Which end of a connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Accepting,
    Dialling,
}

impl Socket {
    /// Shakes hands where that is asked for. Tells which node the peer's certificate is of.
    pub(super) async fn secure(
        stream: TcpStream,
        tls: Option<&PeerTls>,
        end: End,
    ) -> io::Result<(Self, Option<NodeId>)> {
        let Some(tls) = tls else {
            return Ok((Self::Plain(stream), None));
        };
        let (stream, node) = match end {
            End::Accepting => tls.accept(stream).await?,
            End::Dialling => tls.connect(stream).await?,
        };
        Ok((Self::Tls(Box::new(stream)), Some(node)))
    }

    /// Both halves, for two tasks or one.
    pub(super) fn split(self) -> (ReadHalf, WriteHalf) {
        match self {
            Self::Plain(stream) => {
                let (read, write) = stream.into_split();
                (ReadHalf::Plain(read), WriteHalf::Plain(write))
            }
            Self::Tls(stream) => {
                let (read, write) = tokio::io::split(*stream);
                (ReadHalf::Tls(read), WriteHalf::Tls(write))
            }
        }
    }
}

macro_rules! reads {
    ($name:ident) => {
        impl AsyncRead for $name {
            fn poll_read(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
                    Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
                }
            }
        }
    };
}

macro_rules! writes {
    ($name:ident) => {
        impl AsyncWrite for $name {
            fn poll_write(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                match self.get_mut() {
                    Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
                    Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
                }
            }

            fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    Self::Plain(stream) => Pin::new(stream).poll_flush(context),
                    Self::Tls(stream) => Pin::new(stream).poll_flush(context),
                }
            }

            fn poll_shutdown(
                self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                match self.get_mut() {
                    Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
                    Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
                }
            }
        }
    };
}

reads!(Socket);
reads!(ReadHalf);
writes!(Socket);
writes!(WriteHalf);
