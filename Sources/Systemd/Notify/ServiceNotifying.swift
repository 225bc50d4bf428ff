import LinuxIO

/// Where notifications go: the service manager's socket, or a recording one in tests.
public protocol ServiceNotifying: Sendable {
    /// Sends one message.
    ///
    /// - Parameters:
    ///   - message: assignments separated by line feeds.
    ///   - descriptors: file descriptors that travel with it; they stay open here.
    /// - Returns: whether a service manager was there to receive it.
    @discardableResult
    func send(_ message: String, descriptors: [CInt]) throws(SystemError) -> Bool

    /// As ``send(_:descriptors:)``, without waiting for a service manager that is behind: `EAGAIN`, and nothing sent.
    @discardableResult
    func sendAtOnce(_ message: String, descriptors: [CInt]) throws(SystemError) -> Bool

    /// Asks to be told when the service manager has processed all messages sent so far (`BARRIER=1`), and waits for
    /// nothing: `EAGAIN` where it is behind.
    ///
    /// - Returns: what hangs up (EPOLLHUP) when it has; nil: there is no service manager.
    func beginBarrier() throws(SystemError) -> Descriptor?

    /// Waits until the service manager has processed all messages sent so far.
    ///
    /// - Parameter timeoutMicroseconds: `UInt64.max` waits for ever; ETIMEDOUT is thrown after any other time.
    /// - Returns: whether a service manager was there.
    @discardableResult
    func barrier(timeoutMicroseconds: UInt64) throws(SystemError) -> Bool
}

extension ServiceNotifying {
    /// Sends several notifications in one message.
    @discardableResult
    public func notify(_ notifications: Notification...) throws(SystemError) -> Bool {
        try notify(notifications)
    }

    /// Sends several notifications in one message.
    @discardableResult
    public func notify(_ notifications: [Notification]) throws(SystemError) -> Bool {
        try send(notifications.flatMap(\.lines).joined(separator: "\n"), descriptors: [])
    }
}
