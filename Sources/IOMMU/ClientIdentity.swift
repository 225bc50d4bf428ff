import LinuxIO

/// Who asks, as the kernel vouches for it (`SO_PEERCRED`).
package struct ClientIdentity: Sendable, Hashable {
    /// User id.
    package var uid: UInt32
    /// Group id.
    package var gid: UInt32
    /// Process id at the time of connecting.
    package var pid: Int32
    /// uid 0, the daemon's own uid, or a member of the administrators' group.
    package var isAdmin: Bool

    /// With these properties.
    package init(uid: UInt32, gid: UInt32, pid: Int32, isAdmin: Bool) {
        self.uid = uid
        self.gid = gid
        self.pid = pid
        self.isAdmin = isAdmin
    }
}

/// An access that has not finished: it waits for a page fault to be answered or for a worker.
package typealias AccessID = UInt64

/// What came of starting something that can wait.
package enum Progress<Value> {
    case done(Value)
    /// The completion handler given to the call will be called exactly once, later, on the owning thread.
    case pending(AccessID)
}

/// Runs what may block away from the owning thread, and on it what has to wait a little.
package protocol WorkExecutor: LoopServices {
    /// `completion` runs on the owning thread. Work with the same `key` runs in the order of the calls.
    func perform<Value: Sendable>(
        key: UInt64, _ work: @escaping @Sendable () -> Value, completion: @escaping (Value) -> Void
    )
}
