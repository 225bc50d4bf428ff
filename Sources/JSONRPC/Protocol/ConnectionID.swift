/// Names one connection of one server for good: the index is reused, the pair is not.
public struct ConnectionID: Hashable, Sendable {
    /// Small and dense: usable as an array index by who keeps something for each connection.
    public let index: UInt32
    /// Distinguishes successive connections with the same index.
    public let generation: UInt32

    /// A name.
    public init(index: UInt32, generation: UInt32) {
        self.index = index
        self.generation = generation
    }
}

/// Who is at the other end of a connection, as the kernel vouches for it.
public struct PeerCredentials: Equatable, Sendable {
    /// Process id at the time of connecting; may since be another process's. 0 if it is not visible from here.
    public let pid: Int32
    /// User id.
    public let uid: UInt32
    /// Group id.
    public let gid: UInt32
    /// Supplementary groups, where the kernel tells them.
    public let groups: [UInt32]

    /// Credentials.
    public init(pid: Int32, uid: UInt32, gid: UInt32, groups: [UInt32] = []) {
        self.pid = pid
        self.uid = uid
        self.gid = gid
        self.groups = groups
    }
}
