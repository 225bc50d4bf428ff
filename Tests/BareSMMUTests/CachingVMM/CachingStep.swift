import IOMMU
import TestSupport

/// One thing that a guest or one of its devices does. Numbers are indices into what the world has.
enum CachingStep: Sendable {
    /// A leaf of a stage 1 table changes, and the guest says exactly so much.
    case map(table: Int, place: Int, level: UInt64, frame: UInt64?, isGlobal: Bool, how: Telling)
    /// A leaf of stage 2 changes.
    case mapStage2(place: Int, level: UInt64, frame: UInt64?, isWhole: Bool)
    /// A context gets another table under the same ASID.
    case setContext(index: Int, table: Int?)
    /// The stream that changes gets another configuration.
    case setStream(Int)
    /// SMMUEN goes off, GBPA changes, and SMMUEN goes on again, with accesses in between.
    case restart(aborts: Bool)
    case access(stream: UInt32, place: Int, page: UInt64, kind: Int, tag: UInt64)

    /// With which command a guest tells of a leaf.
    enum Telling: Int, Sendable, CaseIterable {
        case address, addressOfAll, range, space, machine, everything
    }
}

extension SeededGenerator {
    private mutating func below<Number: FixedWidthInteger>(_ bound: Number) -> Number { next(below: bound) }

    /// Few places, so that accesses meet what others did: neighbouring pages, and blocks around them.
    mutating func cachingStep(hasTags: Bool) -> CachingStep {
        let level: UInt64 = [3, 3, 3, 2][below(4)]
        let frame: UInt64? = below(4) == 0 ? nil : below(1 << 16)
        switch below(300) {
        case 0..<16:
            return .map(
                table: below(CachingWorld.tableCount), place: below(CachingWorld.places.count), level: level,
                frame: frame, isGlobal: below(5) == 0, how: CachingStep.Telling.allCases[below(6)])
        case 16..<21:
            return .mapStage2(
                place: below(CachingWorld.places.count), level: level, frame: frame, isWhole: below(2) == 0)
        case 21..<23: return .setContext(index: below(3), table: below(5) == 0 ? nil : below(2))
        case 23..<25: return .setStream(below(4))
        case 25: return .restart(aborts: below(2) == 0)
        default:
            return .access(
                stream: below(5) + 1, place: below(CachingWorld.places.count), page: below(4) == 0 ? 1 : 0,
                kind: below(8), tag: hasTags ? below(3) : 0)
        }
    }
}
