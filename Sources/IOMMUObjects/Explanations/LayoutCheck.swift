import IOMMU
import LinuxIO

/// The dry run of a guest layout, over plain facts about its devices: every refusal that it would meet is gathered, and
/// nothing changes.
package struct LayoutCheck {
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

    /// More problems than this are not listed.
    private static let maxProblems = 10_000
    /// What has been found so far: at most 10,000.
    package private(set) var problems: [LayoutProblem] = []

    /// Nothing has been found.
    package init() {}

    /// Whether what else is found makes no difference.
    package var isFull: Bool { problems.count >= Self.maxProblems }

    /// Lists a problem, if there is room.
    package mutating func report(_ error: IOMMUError, mapping: Int? = nil, device: String? = nil) {
        guard !isFull else { return }
        problems.append(LayoutProblem(error: error, mapping: mapping, device: device))
    }

    /// Looks at mappings by themselves, at each with those beside it, and at each with what the devices demand.
    package mutating func examine(_ mappings: [CheckedMapping], for devices: [Demands]) {
        let ranges = checkShapes(mappings, devices)
        checkOverlaps(ranges)
        for device in devices { checkRegions(of: device, ranges) }
    }

    /// The well-formed ones, by address.
    private mutating func checkShapes(_ mappings: [CheckedMapping], _ devices: [Demands]) -> [Candidate] {
        let granule = devices.map(\.granule).max() ?? 1
        let reaches = devices.compactMap { device in device.reach.map { (device.name, $0) } }
        var candidates: [Candidate] = []
        for (index, mapping) in mappings.enumerated() where !isFull {
            guard mapping.length > 0 else {
                report(mapping, index, .EINVAL, .zeroLength, "has no bytes", hint: "give it a length")
                continue
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
                report(
                    mapping, index, .EOVERFLOW, .iovaOverflow, "of \(span) wraps at the end of the address space",
                    hint: "keep iova + length within 64 bits")
                continue
            }
            for (device, reach) in reaches where !reach.range.contains(range) {
                report(
                    mapping, index, .EINVAL, .iovaReserved,
                    "of \(span) lies beyond the \(reach.bits) bits that \(reach.iommu) translates",
                    hint: "keep the guest's layout below", device)
            }
            candidates.append(Candidate(range: range, index: index))
        }
        return candidates.sorted { ($0.range.start, $0.index) < ($1.range.start, $1.index) }
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

    /// Each mapping that overlaps an earlier one, by address.
    private mutating func checkOverlaps(_ candidates: [Candidate]) {
        var widest: Candidate?
        for candidate in candidates where !isFull {
            if let other = widest, other.range.last >= candidate.range.start {
                report(
                    IOMMUError(
                        .EEXIST, .mappingsOverlap, "mappings \(other.index) and \(candidate.index) overlap",
                        hint: "map each address once",
                        [
                            "iova": .hex(candidate.range.start), "length": .hex(candidate.range.length),
                            "other": .number(UInt64(other.index)),
                        ]), mapping: candidate.index)
            }
            if candidate.range.last >= widest?.range.last ?? 0 { widest = candidate }
        }
    }

    private mutating func checkRegions(of device: Demands, _ candidates: [Candidate]) {
        for region in device.unusable {
            for candidate in candidates {
                guard !isFull else { return }
                // None that follow begins earlier.
                guard candidate.range.start <= region.range.last else { break }
                guard candidate.range.overlaps(region.range) else { continue }
                report(
                    IOMMUError(
                        .EADDRINUSE, .mappingInReservedRegion,
                        "mapping \(candidate.index) meets a \(region.kind.rawValue) region of device \(device.name)",
                        hint: "leave the region out of the guest's layout",
                        [
                            "iova": .hex(candidate.range.start), "length": .hex(candidate.range.length),
                            "region_start": .hex(region.range.start), "region_last": .hex(region.range.last),
                            "region_type": .text(region.kind.rawValue),
                        ]), mapping: candidate.index, device: device.name)
            }
        }
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
