import IOMMU
import LinuxIO

/// The dry run of a guest layout.
extension ObjectContext {
    /// More problems than this are not listed.
    private static let maxProblems = 10_000

    /// Every refusal that a layout would meet on these devices, at most 10,000; nothing changes.
    package func check(
        devices selectors: [DeviceSelector], mappings: [CheckedMapping]
    ) throws(IOMMUError) -> [LayoutProblem] {
        var problems: [LayoutProblem] = []
        let devices = checkDevices(selectors, &problems)
        let ranges = checkShapes(mappings, devices, &problems)
        checkOverlaps(ranges, &problems)
        for device in devices { checkRegions(of: device, ranges, &problems) }
        return problems
    }

    private func isFull(_ problems: [LayoutProblem]) -> Bool { problems.count >= Self.maxProblems }

    // MARK: Devices

    private func checkDevices(_ selectors: [DeviceSelector], _ problems: inout [LayoutProblem]) -> [Device] {
        var devices: [Device] = []
        for selector in selectors where !isFull(problems) {
            do {
                let device = try device(selector)
                if devices.contains(where: { $0 === device }) { continue }
                devices.append(device)
                if device.boundBy !== self, let problem = bindingProblem(of: device) {
                    problems.append(LayoutProblem(error: problem, device: device.name))
                }
            } catch {
                problems.append(LayoutProblem(error: error, device: selector.text))
            }
        }
        return devices
    }

    private func device(_ selector: DeviceSelector) throws(IOMMUError) -> Device {
        switch selector {
        case .name(let name): try registry.device(named: name)
        case .id(let id): try device(id)
        }
    }

    // MARK: Mappings

    private struct Candidate {
        let range: AddressRange
        let index: Int
    }

    /// The well-formed ones, by address.
    private func checkShapes(
        _ mappings: [CheckedMapping], _ devices: [Device], _ problems: inout [LayoutProblem]
    ) -> [Candidate] {
        let formats = devices.map { ($0, $0.driver.automaticFormat) }
        let granule = formats.map { $0.1.granule }.max() ?? 1
        var candidates: [Candidate] = []
        // What comes behind the last problem that is listed makes no difference.
        for (index, mapping) in mappings.enumerated() where !isFull(problems) {
            func report(_ errno: Errno, _ reason: Reason, _ message: String, hint: String, _ device: String? = nil) {
                guard !isFull(problems) else { return }
                let error = IOMMUError(
                    errno, reason, "mapping \(index) \(message)", hint: hint,
                    ["iova": .hex(mapping.iova), "length": .hex(mapping.length)])
                problems.append(LayoutProblem(error: error, mapping: index, device: device))
            }
            guard mapping.length > 0 else {
                report(.EINVAL, .zeroLength, "has no bytes", hint: "give it a length")
                continue
            }
            if (mapping.iova | mapping.length) & (granule - 1) != 0 {
                report(
                    .EINVAL, .misaligned, "of \(span(mapping.length, at: mapping.iova)) is not one of whole pages",
                    hint: "make iova and length multiples of \(hexadecimal(granule))")
            }
            guard mapping.iova < .max, mapping.length < .max,
                let range = AddressRange(start: mapping.iova, length: mapping.length)
            else {
                report(
                    .EOVERFLOW, .iovaOverflow,
                    "of \(span(mapping.length, at: mapping.iova)) wraps at the end of the address space",
                    hint: "keep iova + length within 64 bits")
                continue
            }
            for (device, format) in formats where !format.aperture.contains(range) {
                report(
                    .EINVAL, .iovaReserved,
                    "of \(span(mapping.length, at: mapping.iova)) lies beyond the \(format.inputBits) bits that "
                        + "\(device.driver.name) translates",
                    hint: "keep the guest's layout below", device.name)
            }
            candidates.append(Candidate(range: range, index: index))
        }
        return candidates.sorted { ($0.range.start, $0.index) < ($1.range.start, $1.index) }
    }

    /// Each mapping that overlaps an earlier one, by address.
    private func checkOverlaps(_ candidates: [Candidate], _ problems: inout [LayoutProblem]) {
        var widest: Candidate?
        for candidate in candidates where !isFull(problems) {
            if let other = widest, other.range.last >= candidate.range.start {
                let error = IOMMUError(
                    .EEXIST, .mappingsOverlap, "mappings \(other.index) and \(candidate.index) overlap",
                    hint: "map each address once",
                    [
                        "iova": .hex(candidate.range.start), "length": .hex(candidate.range.length),
                        "other": .number(UInt64(other.index)),
                    ])
                problems.append(LayoutProblem(error: error, mapping: candidate.index))
            }
            if candidate.range.last >= widest?.range.last ?? 0 { widest = candidate }
        }
    }

    private func checkRegions(of device: Device, _ candidates: [Candidate], _ problems: inout [LayoutProblem]) {
        for region in device.unusableRegions {
            for candidate in candidates where candidate.range.overlaps(region.range) {
                guard !isFull(problems) else { return }
                let error = IOMMUError(
                    .EADDRINUSE, .mappingInReservedRegion,
                    "mapping \(candidate.index) meets a \(region.kind.rawValue) region of device \(device.name)",
                    hint: "leave the region out of the guest's layout",
                    [
                        "iova": .hex(candidate.range.start), "length": .hex(candidate.range.length),
                        "region_start": .hex(region.range.start), "region_last": .hex(region.range.last),
                        "region_type": .text(region.kind.rawValue),
                    ])
                problems.append(LayoutProblem(error: error, mapping: candidate.index, device: device.name))
            }
        }
    }
}

extension DeviceSelector {
    var text: String {
        switch self {
        case .name(let name): name
        case .id(let id): "\(id)"
        }
    }
}
