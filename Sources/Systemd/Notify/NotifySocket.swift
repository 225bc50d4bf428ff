import CSystemd
import Glibc
import LinuxIO

/// The service manager at the end of `$NOTIFY_SOCKET`.
///
/// Without that variable every call does nothing and returns `false`, so a program need not know how it was started.
public struct NotifySocket: ServiceNotifying {
    /// Creates the notifier. It holds nothing: libsystemd reads the variable on each call.
    public init() {}

    /// Whether this process was started with a notification socket.
    public var isPresent: Bool {
        Environment.value("NOTIFY_SOCKET") != nil
    }

    /// Sends one message to `$NOTIFY_SOCKET`; false, and nothing sent, where there is none.
    ///
    /// A message without descriptors never waits for a service manager that is behind: `EAGAIN`, and nothing sent. One
    /// with descriptors, and any message to a virtual machine's host, goes the way of libsystemd, which does.
    @discardableResult
    public func send(_ message: String, descriptors: [CInt]) throws(SystemError) -> Bool {
        guard let address = Environment.value("NOTIFY_SOCKET") else { return false }
        if descriptors.isEmpty, !address.hasPrefix("vsock") {
            do {
                try DatagramSocket().send(Array(message.utf8), to: address)
            } catch {
                throw SystemError(errno: error.errno, "notify the service manager")
            }
            return true
        }
        let sent =
            descriptors.isEmpty
            ? sd_notify(0, message)
            : sd_pid_notify_with_fds(0, 0, message, descriptors, UInt32(descriptors.count))
        return try SystemError.check(sent, "notify the service manager") > 0
    }

    /// Sends one message without waiting; false, and nothing sent, where there is no service manager.
    @discardableResult
    public func sendAtOnce(_ message: String, descriptors: [CInt]) throws(SystemError) -> Bool {
        guard let address = Environment.value("NOTIFY_SOCKET") else { return false }
        do {
            try DatagramSocket().send(Array(message.utf8), to: address, descriptors: descriptors)
        } catch {
            throw SystemError(errno: error.errno, "notify the service manager")
        }
        return true
    }

    /// Asks to be told, by a hang-up, when all that was sent has been processed.
    public func beginBarrier() throws(SystemError) -> Descriptor? {
        guard Environment.value("NOTIFY_SOCKET") != nil else { return nil }
        var ends: [CInt] = [-1, -1]
        guard pipe(&ends) == 0 else { throw .current("make a pipe") }
        let told = Descriptor(adopting: ends[0])
        let theirs = Descriptor(adopting: ends[1])
        _ = (fcntl(told.number, F_SETFD, FD_CLOEXEC), fcntl(theirs.number, F_SETFD, FD_CLOEXEC))
        // The service manager closes its copy when it comes to it, and ours is closed here.
        guard try sendAtOnce("BARRIER=1", descriptors: [theirs.number]) else { return nil }
        return told
    }

    /// Waits until the service manager has processed what was sent (`BARRIER=1`); false where there is none.
    @discardableResult
    public func barrier(timeoutMicroseconds: UInt64) throws(SystemError) -> Bool {
        try SystemError.check(sd_notify_barrier(0, timeoutMicroseconds), "wait for the service manager") > 0
    }
}
