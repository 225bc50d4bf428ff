import IOMMU

/// A set of event kinds.
package struct EventKinds: Sendable, Equatable {
    private var bits: UInt32 = 0

    /// Every kind.
    package static var all: EventKinds { EventKinds(BackendEvent.Kind.allCases) }

    /// The kinds of a sequence, whatever their order.
    package init(_ kinds: some Sequence<BackendEvent.Kind>) {
        for kind in kinds { bits |= Self.bit(kind) }
    }

    /// Whether the kind is one of them.
    package func contains(_ kind: BackendEvent.Kind) -> Bool { bits & Self.bit(kind) != 0 }

    private static func bit(_ kind: BackendEvent.Kind) -> UInt32 {
        let index = BackendEvent.Kind.allCases.firstIndex(of: kind) ?? 31
        return 1 << UInt32(index)
    }
}
