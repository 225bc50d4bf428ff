import CLinux
import Glibc
import LinuxIO

// How a connection comes to its end.

extension Link {
    /// All is sent. A client that may still be sending is given time to read the last error: closing on it at once
    /// would turn that into ECONNRESET or EPIPE.
    func close() {
        guard connection.isClosing, !isInputEnded, !isOutputBroken, let registration else { return end() }
        isLingering = true
        server.connectionEnded(connection)
        _ = shutdown(socket.number, Int32(SHUT_WR))
        interest = .input
        loop.modify(registration, for: Self.always.union(.input))
        loop.schedule(after: Self.lingerNanoseconds) { [weak self] in self?.end() }
    }

    private static let lingerNanoseconds: UInt64 = 1_000_000_000

    /// Takes no more requests than have already arrived, answers those, then closes.
    func finish() {
        // What the kernel keeps for a client is a few reads: more of them where descriptors have buffers of their own.
        var reads = 0
        while reads < 32, registration != nil, mayReceive, !isLingering, receive() { reads += 1 }
        isInputEnded = true
        markRunnable()
        markUnsent()
    }

    /// Requests that only wait for their turn keep nothing from being received behind them.
    private var mayReceive: Bool { interest.contains(.input) || connection.outbox.pointee.isTurnOver }

    /// The last chance of a reply to leave: a client that does not take it at once goes without.
    func sendAndEnd() {
        isInputEnded = true
        flush()
        end()
    }

    /// Tells a client that is not served why, then closes. Only a lingering end is sure to reach a client that is still
    /// sending.
    func turnAway(_ error: RPCError, lingering: Bool) {
        isTurnedAway = lingering
        connection.writeError(error)
        connection.isClosing = true
        if lingering { markUnsent() } else { sendAndEnd() }
    }

    /// The server is no more: nobody is told.
    func abandon() {
        if let registration { loop.unregister(registration) }
        registration = nil
        connection.end()
    }
}
