/// Something that happened without being asked for, for `events.subscribe`.
package struct BackendEvent: Sendable {
    package enum Kind: String, Sendable, CaseIterable {
        case fault
        case smmuEvent = "smmu_event"
        case mmExit = "mm_exit"
        case bond
        case device
        case session
        case queue
        case veventq
        case vsmmuEvent = "vsmmu_event"
    }

    package var kind: Kind
    /// Identifies the context it concerns (``ObjectIdentifier`` of the context); nil: whoever may see the device.
    package var context: ObjectIdentifier?
    /// The device it concerns, if any.
    package var device: String?
    /// What a subscriber is told, in order.
    package var members: [IOMMUError.Member]

    package init(
        _ kind: Kind, context: ObjectIdentifier? = nil, device: String? = nil, _ members: [IOMMUError.Member]
    ) {
        self.kind = kind
        self.context = context
        self.device = device
        self.members = members
    }
}
