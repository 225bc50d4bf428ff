import IOMMU
import LinuxIO

/// The dry run of a guest layout, over plain facts about its devices: every refusal that it would meet, piece by piece,
/// and nothing changes.
package struct LayoutCheck: Sequence, IteratorProtocol {
    /// What a device demands of what is mapped for it.
    package struct Demands {
        let name: String
        let granule: UInt64
        let reach: Reach?
        let unusable: [ReservedRegion]

        /// The addresses that an IOMMU translates.
        package struct Reach {
            let range: AddressRange
            let bits: Int
            let iommu: String

            /// - Parameters:
            ///   - bits: of an address, at most 64.
            ///   - iommu: as messages name it.
            package init(_ range: AddressRange, bits: Int, of iommu: String) {
                (self.range, self.bits, self.iommu) = (range, bits, iommu)
            }
        }

        /// - Parameters:
        ///   - granule: bytes that every mapping is a multiple of: a power of two.
        ///   - reach: nil where it is not known.
        ///   - unusable: regions that no mapping may meet.
        package init(of name: String, granule: UInt64, reach: Reach? = nil, unusable: [ReservedRegion]) {
            (self.name, self.granule, self.reach, self.unusable) = (name, granule, reach, unusable)
        }
    }

    private struct Candidate {
        let range: AddressRange
        let index: Int
    }

    /// Mappings, or those that are well-formed by address, looked at one by one.
    private enum Phase {
        case shapes(Int)
        case overlaps(Int, widest: Candidate?)
        case regions(device: Int, region: Int, candidate: Int)
        case end
    }

    /// More problems than this are not listed.
    private static let maxProblems = 10_000
    /// Looks in one piece, and problems that end it.
    private static let (looksAtOnce, problemsAtOnce) = (1024, 32)

    private let mappings: [CheckedMapping]
    /// What the devices need. To be set before the first piece.
    package var demands: [Demands] = [] {
        didSet {
            granule = demands.map(\.granule).max() ?? 1
            reaches = demands.compactMap { device in device.reach.map { (device.name, $0) } }
        }
    }
    private var granule: UInt64 = 1
    private var reaches: [(device: String, reach: Demands.Reach)] = []
    private var candidates: [Candidate] = []
    private var phase = Phase.shapes(0)
    /// What has been found and not been told.
    private var problems: [LayoutProblem] = []
    private var count = 0

    /// Nothing has been looked at.
    package init(of mappings: [CheckedMapping]) { self.mappings = mappings }

    /// Whether what else is found makes no difference.
    package var isFull: Bool { count >= Self.maxProblems }

    /// Lists a problem, if there is room.
    package mutating func report(_ error: IOMMUError, mapping: Int? = nil, device: String? = nil) {
        guard !isFull else { return }
        problems.append(LayoutProblem(error: error, mapping: mapping, device: device))
        count += 1
    }

    /// Looks on, until something is found or much has been looked at.
    package mutating func next() -> [LayoutProblem]? {
        var looks = 0
        while looks < Self.looksAtOnce, problems.count < Self.problemsAtOnce, !isOver { looks += look() }
        guard !problems.isEmpty || !isOver else { return nil }
        defer { problems = [] }
        return problems
    }

    private var isOver: Bool {
        if case .end = phase { return true }
        return isFull
    }

    /// Looks at one mapping, and goes to the next. - Returns: what that counts for.
    private mutating func look() -> Int {
        switch phase {
        case .shapes(let index):
            guard index < mappings.count else {
                candidates.sort { ($0.range.start, $0.index) < ($1.range.start, $1.index) }
                phase = .overlaps(0, widest: nil)
                return candidates.count
            }
            phase = .shapes(index + 1)
            checkShape(mappings[index], index)
            return 1 + reaches.count
        case .overlaps(let index, let widest):
            guard index < candidates.count else {
                phase = .regions(device: 0, region: 0, candidate: 0)
                return 1
            }
            phase = .overlaps(index + 1, widest: checkOverlap(candidates[index], widest))
        case .regions(let device, let region, let candidate): checkRegion(device, region, candidate)
        case .end: break
        }
        return 1
    }

    private mutating func checkShape(_ mapping: CheckedMapping, _ index: Int) {
        guard mapping.length > 0 else {
            return report(mapping, index, .EINVAL, .zeroLength, "has no bytes", hint: "give it a length")
        }
        let span = span(mapping.length, at: mapping.iova)
        if (mapping.iova | mapping.length) & (granule - 1) != 0 {
            report(
                mapping, index, .EINVAL, .misaligned, "of \(span) is not one of whole pages",
                hint: "make iova and length multiples of \(hexadecimal(granule))")
        }
        guard mapping.iova < .max, mapping.length < .max,
            let range = AddressRange(start: mapping.iova, length: mapping.length)
        else {
            return report(
                mapping, index, .EOVERFLOW, .iovaOverflow, "of \(span) wraps at the end of the address space",
                hint: "keep iova + length within 64 bits")
        }
        for (device, reach) in reaches where !reach.range.contains(range) {
            report(
                mapping, index, .EINVAL, .iovaReserved,
                "of \(span) lies beyond the \(reach.bits) bits that \(reach.iommu) translates",
                hint: "keep the guest's layout below", device)
        }
        candidates.append(Candidate(range: range, index: index))
    }

    private mutating func report(
        _ mapping: CheckedMapping, _ index: Int, _ errno: Errno, _ reason: Reason, _ message: String, hint: String,
        _ device: String? = nil
    ) {
        report(
            IOMMUError(
                errno, reason, "mapping \(index) \(message)", hint: hint,
                ["iova": .hex(mapping.iova), "length": .hex(mapping.length)]), mapping: index, device: device)
    }

    /// Whether it overlaps the one before it that reaches furthest. - Returns: the one that does now.
    private mutating func checkOverlap(_ candidate: Candidate, _ widest: Candidate?) -> Candidate {
        guard let other = widest else { return candidate }
        if other.range.last >= candidate.range.start {
            report(
                IOMMUError(
                    .EEXIST, .mappingsOverlap, "mappings \(other.index) and \(candidate.index) overlap",
                    hint: "map each address once",
                    [
                        "iova": .hex(candidate.range.start), "length": .hex(candidate.range.length),
                        "other": .number(UInt64(other.index)),
                    ]), mapping: candidate.index)
        }
        return candidate.range.last >= other.range.last ? candidate : other
    }

    private mutating func checkRegion(_ device: Int, _ region: Int, _ index: Int) {
        guard device < demands.count else { return phase = .end }
        let demanding = demands[device]
        guard region < demanding.unusable.count else {
            return phase = .regions(device: device + 1, region: 0, candidate: 0)
        }
        let unusable = demanding.unusable[region]
        // None that follow begins earlier.
        guard index < candidates.count, candidates[index].range.start <= unusable.range.last else {
            return phase = .regions(device: device, region: region + 1, candidate: 0)
        }
        phase = .regions(device: device, region: region, candidate: index + 1)
        let candidate = candidates[index]
        guard candidate.range.overlaps(unusable.range) else { return }
        report(
            IOMMUError(
                .EADDRINUSE, .mappingInReservedRegion,
                "mapping \(candidate.index) meets a \(unusable.kind.rawValue) region of device \(demanding.name)",
                hint: "leave the region out of the guest's layout",
                [
                    "iova": .hex(candidate.range.start), "length": .hex(candidate.range.length),
                    "region_start": .hex(unusable.range.start), "region_last": .hex(unusable.range.last),
                    "region_type": .text(unusable.kind.rawValue),
                ]), mapping: candidate.index, device: demanding.name)
    }
}

extension DeviceSelector {
    /// As problems name it.
    package var text: String {
        switch self {
        case .name(let name): name
        case .id(let id): "\(id)"
        }
    }
}
