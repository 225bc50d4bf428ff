import IOMMU
import LinuxIO

/// `[limits]`: bounds on what clients can make the daemon do and hold.
package struct LimitsConfiguration: Sendable, Equatable {
    // MARK: Transport

    /// Requests in one batch.
    package var batch = 10_000
    /// Bytes of one line.
    package var messageBytes = 1 << 20
    /// A client that has not read its replies for so long is dropped.
    package var stalledClientSeconds = 30
    /// Connections at one time, in all.
    package var connections = 4096
    /// Connections of one user at one time.
    package var connectionsPerUID = 2048
    /// Events that wait for one subscriber; later ones are counted as lost.
    package var eventQueueDepth = 4096

    // MARK: One user

    /// Named sessions.
    package var sessions = 256
    /// Objects of one user, in all sessions.
    package var objects = 1_048_576
    /// Mappings of one user, in all sessions.
    package var mappings = 8_388_608
    /// Bytes that one user has mapped, in all sessions.
    package var mappedBytes = 1 << 44
    /// Bytes of memory objects that the daemon creates.
    package var memoryBytes = Self.part(5, atMost: 64 << 30)
    /// Bytes of replies and notifications that wait to be sent to a user, above which nothing is carried out for the
    /// user until some have been read.
    package var unsentBytes = Self.part(64, atMost: 256 << 20)
    /// Bytes of requests of a user that have not ended, or have to wait.
    package var unfinishedBytes = Self.part(64, atMost: 256 << 20)
    /// Events that wait for a user's subscribers together.
    package var waitingEvents = 65_536
    /// Descriptors that the daemon holds for the user: memory objects, address spaces, connections.
    package var descriptors = 16_384
    /// Descriptors that the service manager keeps for the user's named sessions; 0: a quarter of what it keeps at all.
    package var storedDescriptorsPerUID = 0
    /// Sockets of `fd.offer` that nobody has come to.
    package var offersPerUID = 16
    /// Device accesses that wait.
    package var waitingAccesses = 1024

    // MARK: One session

    /// Objects of one session.
    package var objectsPerSession = 65_536
    /// Mappings of one session.
    package var mappingsPerSession = 4_194_304
    /// SMMU models of one session.
    package var vsmmusPerSession = 16
    /// Bonds of one session.
    package var bondsPerSession = 65_536
    /// Open accelerator queues of one session.
    package var queuesPerSession = 4096
    /// Faults that wait in one fault queue.
    package var faultQueueDepth = 4096

    // MARK: One request

    /// Bytes of one memory object.
    package var memoryObjectBytes = 1 << 42
    /// Bytes that one `memory.read`, `dma.read` or the like moves.
    package var transferBytes = 512 << 10
    /// What that can be set to at most.
    static let largestTransferBytes = 16 << 20

    // MARK: The daemon

    /// Threads for work that may block, and helper processes at work in the memory of others at one time.
    package var workers = 4
    /// Address spaces of one user whose pages do not come.
    package var stuckAddressSpaces = 4

    /// The defaults.
    package init() {}

    /// A part of the memory that there is for the daemon.
    private static func part(_ divisor: UInt64, atMost most: Int) -> Int {
        min(Int(clamping: InstalledMemory.bytes / divisor), most)
    }

    /// What of a store one user may have.
    func storedDescriptors(of capacity: Int) -> Int {
        storedDescriptorsPerUID > 0 ? storedDescriptorsPerUID : max(1, capacity / 4)
    }

    /// The quotas of users and of their sessions.
    package func sessionLimits(_ shares: ShareRules) -> SessionLimits {
        var limits = SessionLimits()
        limits.shares = shares
        limits.sessions = sessions
        limits.perUser = [
            .mappedBytes: UInt64(clamping: mappedBytes), .memoryBytes: UInt64(clamping: memoryBytes),
            .mappings: UInt64(clamping: mappings), .objects: UInt64(clamping: objects),
            .descriptors: UInt64(clamping: descriptors), .waitingAccesses: UInt64(clamping: waitingAccesses),
            .waitingEvents: UInt64(clamping: waitingEvents),
        ]
        limits.context = contextLimits
        return limits
    }

    private var contextLimits: ContextLimits {
        var limits = ContextLimits()
        limits.objects = objectsPerSession
        limits.mappings = mappingsPerSession
        limits.memorySize = UInt64(clamping: memoryObjectBytes)
        limits.transfer = UInt64(clamping: transferBytes)
        limits.faultQueueDepth = faultQueueDepth
        limits.vsmmus = vsmmusPerSession
        limits.bonds = bondsPerSession
        limits.queues = queuesPerSession
        return limits
    }
}

extension LimitsConfiguration {
    /// One key of the section: everything that reading, comparing and documenting it needs.
    struct Key: Sendable {
        enum Unit: Sendable {
            case count, bytes
            /// Bytes, or "auto": a part of the memory that there is.
            case automaticBytes
        }

        let name: String
        let range: ClosedRange<Int>
        let unit: Unit
        /// Whether a reload can change it.
        let isLive: Bool
        let path: any WritableKeyPath<LimitsConfiguration, Int> & Sendable

        init(
            _ name: String, _ path: any WritableKeyPath<LimitsConfiguration, Int> & Sendable,
            _ range: ClosedRange<Int>, unit: Unit = .count, isLive: Bool = true
        ) {
            self.name = name
            self.path = path
            self.range = range
            self.unit = unit
            self.isLive = isLive
        }
    }

    static let keys: [Key] = [
        Key("batch", \.batch, 1...1_000_000),
        Key("message_bytes", \.messageBytes, 4096...(64 << 20), unit: .bytes),
        Key("stalled_client_seconds", \.stalledClientSeconds, 1...86_400),
        Key("connections", \.connections, 1...1_000_000),
        Key("connections_per_uid", \.connectionsPerUID, 1...1_000_000),
        Key("event_queue_depth", \.eventQueueDepth, 1...1_000_000),
        Key("sessions", \.sessions, 0...1_000_000),
        Key("objects", \.objects, 1...(1 << 32)),
        Key("mappings", \.mappings, 1...(1 << 32)),
        Key("mapped_bytes", \.mappedBytes, 4096...Int.max, unit: .bytes),
        Key("memory_bytes", \.memoryBytes, 0...Int.max, unit: .automaticBytes),
        Key("unsent_bytes", \.unsentBytes, 65_536...Int.max, unit: .automaticBytes),
        Key("unfinished_bytes", \.unfinishedBytes, 65_536...Int.max, unit: .automaticBytes),
        Key("waiting_events", \.waitingEvents, 1...1_000_000_000),
        Key("descriptors", \.descriptors, 16...10_000_000),
        Key("stored_descriptors_per_uid", \.storedDescriptorsPerUID, 0...10_000_000),
        Key("offers_per_uid", \.offersPerUID, 0...4096),
        Key("waiting_accesses", \.waitingAccesses, 0...1_000_000),
        Key("objects_per_session", \.objectsPerSession, 1...(1 << 32)),
        Key("mappings_per_session", \.mappingsPerSession, 1...(1 << 32)),
        Key("vsmmus_per_session", \.vsmmusPerSession, 0...65_536),
        Key("bonds_per_session", \.bondsPerSession, 0...(1 << 32)),
        Key("queues_per_session", \.queuesPerSession, 0...(1 << 32)),
        Key("fault_queue_depth", \.faultQueueDepth, 1...1_000_000),
        Key("memory_object_bytes", \.memoryObjectBytes, 4096...Int.max, unit: .bytes),
        Key("transfer_bytes", \.transferBytes, 4096...largestTransferBytes, unit: .bytes),
        Key("workers", \.workers, 1...256, isLive: false),
        Key("stuck_address_spaces", \.stuckAddressSpaces, 1...256, isLive: false),
    ]

    init(_ section: inout ConfigurationSection) {
        for key in Self.keys {
            let value =
                switch key.unit {
                case .count: section.integer(key.name, in: key.range)
                case .bytes: section.bytes(key.name, in: key.range)
                case .automaticBytes: section.automaticBytes(key.name, in: key.range)
                }
            if let value { self[keyPath: key.path] = value }
        }
        section.finish()
    }
}
