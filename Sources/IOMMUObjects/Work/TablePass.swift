import IOMMU
import LinuxIO

/// Mappings of an IOAS that long work goes through.
enum MappingSet {
    /// Those that start there.
    case starts([UInt64])
    /// All that lie between two addresses; none if the second is nil.
    case span(UInt64, last: UInt64?)

    /// Where each of ``starts(_:)`` starts, in their order.
    var starts: [UInt64] {
        if case .starts(let starts) = self { return starts }
        return []
    }

    /// Where the first mapping starts; 0 without any.
    var first: UInt64 {
        switch self {
        case .starts(let starts): starts.first ?? 0
        case .span(let start, _): start
        }
    }

    /// One more mapping is in it, behind those of a span.
    mutating func insert(_ start: UInt64, last: UInt64) {
        switch self {
        case .starts(var starts):
            // Or else it would be copied.
            self = .starts([])
            starts.append(start)
            self = .starts(starts)
        case .span(let first, let before): self = .span(before == nil ? start : first, last: last)
        }
    }
}

/// A way through the tables of hwpts for some mappings, run by run, that can be left and taken up again.
struct TablePass {
    /// The first hwpt and mapping that the way does not come to.
    typealias End = (start: UInt64, hwpt: Int)

    private let mappings: MappingSet
    private let end: End?
    private var index = 0
    /// Where to look for the next mapping of a span; nil: behind the last.
    private var next: UInt64? = 0
    /// Where it is: the mapping, where its memory lies, which hwpt, and how many bytes of it are done.
    private(set) var area: Area?
    private var physical: UInt64 = 0
    private(set) var hwpt = 0
    private var done: UInt64 = 0

    init(_ mappings: MappingSet, until end: End? = nil) {
        (self.mappings, self.end) = (mappings, end)
        if case .span(let start, let last) = mappings { next = last == nil ? nil : start }
    }

    /// Where it is now, for a way that ends here.
    var place: End? { area.map { ($0.start, hwpt) } }
    /// How many mappings it has come to.
    private(set) var count = 0

    /// Goes on for as long as the budget lasts.
    ///
    /// - Parameter body: gets a run: its hwpt, IOVA, physical address and length in bytes, and the mapping.
    /// - Returns: whether it is at the end.
    mutating func step(
        _ budget: inout TurnBudget, in ioas: IOAS, _ memories: MemoryTable, _ hwpts: ContiguousArray<PagingHWPT>,
        _ body: (PagingHWPT, UInt64, UInt64, UInt64, Area) throws(IOMMUError) -> Void
    ) throws(IOMMUError) -> Bool {
        guard !hwpts.isEmpty else { return true }
        // Good for one step: between two the mappings change.
        var cursor: AreaMap.Position?
        while let area = area ?? findNext(in: ioas, memories, &cursor) {
            while hwpt < hwpts.count {
                if let end, end == (area.start, hwpt) { return true }
                // An hwpt that has gone meanwhile, with the device that it was made for, is left out.
                while done < area.length, !hwpts[hwpt].isReleased {
                    let (iova, pa) = (area.start &+ done, physical &+ done)
                    let length = hwpts[hwpt].domain.run(
                        iova: iova, pa: pa, length: area.length &- done, hugePages: ioas.usesHugePages)
                    try body(hwpts[hwpt], iova, pa, length, area)
                    done &+= length
                    if budget.isSpent(after: 1 &+ Int(length >> 19)) { return false }
                }
                (hwpt, done) = (hwpt &+ 1, 0)
            }
            self.area = nil
        }
        return true
    }

    private mutating func findNext(
        in ioas: IOAS, _ memories: MemoryTable, _ cursor: inout AreaMap.Position?
    ) -> Area? {
        cursor = nextPosition(in: ioas.areas, after: cursor)
        guard let found = cursor?.area else { return nil }
        (area, hwpt, done) = (found, 0, 0)
        physical = memories.location(of: found.memory) &+ found.offset
        count += 1
        return found
    }

    private mutating func nextPosition(in areas: AreaMap, after cursor: AreaMap.Position?) -> AreaMap.Position? {
        switch mappings {
        case .starts(let starts):
            guard index < starts.count else { return nil }
            index += 1
            return Self.position(of: starts[index - 1], in: areas, after: cursor)
        case .span(_, let last):
            guard let next, let last, let position = Self.position(of: next, in: areas, after: cursor),
                position.start <= last
            else {
                return nil
            }
            let area = position.area
            self.next = area.last < last ? area.last &+ 1 : nil
            return position
        }
    }

    /// The first mapping that ends at or after `start`: most often the one behind the last that was found.
    private static func position(
        of start: UInt64, in areas: AreaMap, after cursor: AreaMap.Position?
    ) -> AreaMap.Position? {
        if let cursor, cursor.last < start, let next = cursor.next, next.last >= start { return next }
        return areas.first(endingAtOrAfter: start)
    }
}

/// A way through hwpts after their tables have changed: nothing translates through what is gone, and memory of tables
/// is given back.
struct TableEnd {
    private var flushed = 0
    private var settled = 0

    /// - Returns: whether it is at the end.
    mutating func step(_ budget: inout TurnBudget, _ hwpts: ContiguousArray<PagingHWPT>) -> Bool {
        while flushed < hwpts.count {
            if !hwpts[flushed].isReleased { hwpts[flushed].domain.endPieces() }
            flushed += 1
            if budget.isSpent(after: 2) { return false }
        }
        while settled < hwpts.count {
            guard hwpts[settled].isReleased || hwpts[settled].domain.giveBack(&budget) else { return false }
            settled += 1
        }
        return true
    }
}
