import IOMMU
import IOMMUObjects
import LinuxIO

/// The dry run of a guest layout, as far as the system tells what devices need: their reserved regions and pages.
extension KernelContext {
    private static let maxProblems = 10_000
    private static let pageMask: UInt64 = 4095

    package func check(
        devices selectors: [DeviceSelector], mappings: [CheckedMapping]
    ) throws(IOMMUError) -> [LayoutProblem] {
        var problems: [LayoutProblem] = []
        var devices: [MachineDevice] = []
        for selector in selectors {
            do {
                let device = try machineDevice(selector)
                if devices.contains(where: { $0.name == device.name }) { continue }
                devices.append(device)
                if let held = backend.holdings.heldElsewhere(device, asked: self) {
                    problems.append(LayoutProblem(error: held, device: device.name))
                }
            } catch {
                problems.append(LayoutProblem(error: error))
            }
        }
        let ranges = shapes(mappings, hasDevices: !devices.isEmpty, &problems)
        checkOverlaps(ranges, &problems)
        for device in devices { checkRegions(of: device, ranges, &problems) }
        return Array(problems.prefix(Self.maxProblems))
    }

    private func machineDevice(_ selector: DeviceSelector) throws(IOMMUError) -> MachineDevice {
        let name: String
        switch selector {
        case .name(let given): name = given
        case .id(let id): name = try device(id).name
        }
        guard let device = backend.inventory.device(named: name) else { throw KernelBackend.unknownDevice(name) }
        return device
    }

    private typealias Candidate = (range: AddressRange, index: Int)

    private func shapes(
        _ mappings: [CheckedMapping], hasDevices: Bool, _ problems: inout [LayoutProblem]
    ) -> [Candidate] {
        var candidates: [Candidate] = []
        for (index, mapping) in mappings.enumerated() {
            func report(_ errno: Errno, _ reason: Reason, _ message: String) {
                let error = IOMMUError(
                    errno, reason, message, ["iova": .hex(mapping.iova), "length": .hex(mapping.length)])
                problems.append(LayoutProblem(error: error, mapping: index))
            }
            guard mapping.length > 0 else {
                report(.EINVAL, .zeroLength, "a mapping has at least one byte")
                continue
            }
            if hasDevices, (mapping.iova | mapping.length) & Self.pageMask != 0 {
                report(.EINVAL, .misaligned, "iova and length have to be multiples of \(Self.pageMask + 1) bytes")
            }
            guard mapping.iova < .max, mapping.length < .max,
                let range = AddressRange(start: mapping.iova, length: mapping.length)
            else {
                report(.EOVERFLOW, .iovaOverflow, "the range wraps at the end of the address space")
                continue
            }
            candidates.append((range, index))
        }
        return candidates.sorted { ($0.range.start, $0.index) < ($1.range.start, $1.index) }
    }

    private func checkOverlaps(_ candidates: [Candidate], _ problems: inout [LayoutProblem]) {
        var widest: Candidate?
        for candidate in candidates {
            if let other = widest, other.range.last >= candidate.range.start {
                let error = IOMMUError(
                    .EEXIST, .mappingsOverlap, "mappings \(other.index) and \(candidate.index) overlap",
                    [
                        "iova": .hex(candidate.range.start), "length": .hex(candidate.range.length),
                        "other": .number(UInt64(other.index)),
                    ])
                problems.append(LayoutProblem(error: error, mapping: candidate.index))
            }
            if candidate.range.last >= widest?.range.last ?? 0 { widest = candidate }
        }
    }

    private func checkRegions(
        of device: MachineDevice, _ candidates: [Candidate], _ problems: inout [LayoutProblem]
    ) {
        for region in device.unusableRegions {
            for candidate in candidates where candidate.range.overlaps(region.range) {
                guard problems.count <= Self.maxProblems else { return }
                let error = IOMMUError(
                    .EADDRINUSE, .mappingInReservedRegion,
                    "mapping \(candidate.index) meets a \(region.kind.rawValue) region of \(device.name)",
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
