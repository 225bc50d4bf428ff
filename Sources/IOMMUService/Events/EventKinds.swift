import IOMMU

/// A set of event kinds.
package struct EventKinds: Sendable, Equatable {
    private var bits: UInt32 = 0

    package static var all: EventKinds { EventKinds(BackendEvent.Kind.allCases) }

    package init(_ kinds: some Sequence<BackendEvent.Kind>) {
        for kind in kinds { bits |= Self.bit(kind) }
    }

    package func contains(_ kind: BackendEvent.Kind) -> Bool { bits & Self.bit(kind) != 0 }

    private static func bit(_ kind: BackendEvent.Kind) -> UInt32 {
        let index = BackendEvent.Kind.allCases.firstIndex(of: kind) ?? 31
        return 1 << UInt32(index)
    }
}
