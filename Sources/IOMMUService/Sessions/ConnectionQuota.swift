import IOMMU

/// How many connections each user has, and may have.
///
/// One user gets a share of all, and all users together leave a tenth to administrators, who would otherwise be locked
/// out by those whom they are to stop.
struct ConnectionQuota {
    private var byUser: [UInt32: Int] = [:]
    /// Of everybody but administrators.
    private var ofUsers = 0

    /// Counts a connection. `EDQUOT` if its user has too many, or only the administrators' are left.
    ///
    /// - Parameter fraction: the part of all connections that the user may have.
    mutating func admit(
        _ client: ClientIdentity, _ limits: LimitsConfiguration, fraction: Double
    ) throws(IOMMUError) {
        let open = byUser[client.uid, default: 0]
        guard open < limits.connectionsPerUID else {
            throw Self.tooMany(open, of: client.uid, limit: limits.connectionsPerUID, key: "limits.connections_per_uid")
        }
        if !client.isAdmin {
            let share = Int(clamping: Pool.part(fraction, of: UInt64(limits.connections)))
            guard open < share else { throw Self.tooMany(open, of: client.uid, limit: share, key: "limits.share") }
            let room = limits.connections - Self.reserved(of: limits.connections)
            guard ofUsers < room else { throw Self.full(room) }
            ofUsers += 1
        }
        byUser[client.uid] = open + 1
    }

    /// The connection is gone.
    mutating func release(_ client: ClientIdentity) {
        byUser[client.uid] = byUser[client.uid].flatMap { $0 > 1 ? $0 - 1 : nil }
        if !client.isAdmin { ofUsers -= 1 }
    }

    /// What administrators have for themselves.
    static func reserved(of connections: Int) -> Int { connections / 10 }

    private static func tooMany(_ open: Int, of uid: UInt32, limit: Int, key: String) -> IOMMUError {
        IOMMUError(
            .EDQUOT, .tooManyConnections, "user \(uid) has \(open) connections, as many as may be",
            hint: "close some, or ask the administrator to raise \(key)",
            ["key": .text(key), "limit": .number(UInt64(limit)), "used": .number(UInt64(open))])
    }

    private static func full(_ room: Int) -> IOMMUError {
        IOMMUError(
            .EDQUOT, .tooManyConnections, "all \(room) connections are in use that are not kept for administrators",
            hint: "try again later, or ask the administrator to raise limits.connections",
            ["key": .text("limits.connections"), "limit": .number(UInt64(room))])
    }
}
