import IOMMU
import IOMMUObjects
import LinuxIO

/// What makes the books anew, in the order in which their entries need each other.
extension KernelContext {
    /// Mappings in one change.
    private static let mappingsInAChange = 512

    /// ``KeptState/walk(files:)``
    package func walk(files: any KeptFiles) -> KeptWalk {
        KeptWalk(
            store.walkSteps(files: files) + [
                step { [self] take in
                    let file = files.file(ofObject: nil)
                    if isOpen { take(.openIOMMUFD, [Ledger.Entry(.file, file)]) }
                    if isDelegated { take(.exportContext(delegatedDevices), []) }
                },
                walkIOASes(),
                step { [self] take in walkObjects(files, take) },
                step { [self] take in walkAttachments(take) },
            ])
    }

    /// One that is short: few objects are of these kinds.
    private func step(_ body: @escaping (KeptWalk.Taker) -> Void) -> KeptWalk.Step {
        { _, take in
            body(take)
            return true
        }
    }

    private func given(_ object: KernelObject, _ file: UInt64 = 0) -> [Ledger.Entry] {
        let entry = Ledger.Entry(.object, UInt64(object.id))
        return file == 0 ? [entry] : [entry, Ledger.Entry(.file, file)]
    }

    private func given(_ device: KernelDevice, _ file: UInt64) -> [Ledger.Entry] {
        given(device as KernelObject, file) + (device.group.map { [Ledger.Entry(.group, UInt64($0))] } ?? [])
            + device.bound.parts.map { Ledger.Entry(.part, UInt64($0)) }
    }

    // MARK: IOASes

    private func walkIOASes() -> KeptWalk.Step {
        var rest = table.all.compactMap { $0 as? KernelIOAS }[...]
        var place: UInt64? = 0
        return { [self] budget, take in
            while let ioas = rest.first {
                if place == 0 {
                    take(.allocateIOAS, given(ioas))
                    if !ioas.usesHugePages { take(.setHugePages(ioas: ioas.id, false), []) }
                }
                while let start = place {
                    place = mappings(of: ioas, from: start, take)
                    if budget.isSpent(after: Self.mappingsInAChange / 8), place != nil { return false }
                }
                rest.removeFirst()
                place = 0
            }
            return true
        }
    }

    /// - Returns: where to go on; nil: at the end.
    private func mappings(of ioas: KernelIOAS, from start: UInt64, _ take: KeptWalk.Taker) -> UInt64? {
        var found: [KeptMapping] = []
        var next: UInt64? = start
        while let place = next, let area = ioas.areas.area(endingAtOrAfter: place) {
            next = area.start
            guard found.count < Self.mappingsInAChange else { break }
            next = area.last < .max ? area.last + 1 : nil
            found.append(
                KeptMapping(
                    iova: area.start, length: area.length, offset: area.offset, memory: area.memory,
                    access: area.access, isSourceWritable: area.isSourceWritable))
        }
        if !found.isEmpty { take(.map(ioas: ioas.id, found), []) }
        return next.flatMap { ioas.areas.area(endingAtOrAfter: $0) == nil ? nil : $0 }
    }

    // MARK: Objects

    private func walkObjects(_ files: any KeptFiles, _ take: KeptWalk.Taker) {
        let all = table.all
        func file(_ object: KernelObject) -> UInt64 { files.file(ofObject: object.id) }
        for object in all where object is KernelFaultQueue { take(.allocateFaultQueue, given(object, file(object))) }
        for case let device as KernelDevice in all {
            take(.bind(name: device.name), given(device, file(device)))
            if device.isExported { take(.exportDevice(device.id), []) }
        }
        for case let hwpt as KernelHWPT in all where !hwpt.isNested { take(change(hwpt), given(hwpt)) }
        for case let viommu as KernelVIOMMU in all { take(.viommu(hwpt: viommu.hwpt.id), given(viommu)) }
        for case let vdevice as KernelVDevice in all {
            let (viommu, device) = (vdevice.viommu.id, vdevice.device.id)
            take(
                .allocateVDevice(viommu: viommu, device: device, virtualID: vdevice.virtualID), given(vdevice))
        }
        for case let hwpt as KernelHWPT in all where hwpt.isNested { take(change(hwpt), given(hwpt)) }
        for case let queue as KernelVEventQueue in all {
            let depth = UInt32(clamping: queue.depth)
            take(
                .allocateVEventQueue(viommu: queue.viommu.id, type: "arm_smmuv3", depth: depth),
                given(queue, file(queue)))
        }
        if !tombstones.isEmpty { take(.tombstones(tombstones), []) }
    }

    private func change(_ hwpt: KernelHWPT) -> Change {
        switch hwpt.base {
        case .ioas(let ioas):
            .hwpt(
                smmu: "", ioas: ioas.id, flags: hwpt.flags.rawValue, fault: hwpt.faultQueue?.id,
                isAutomatic: hwpt.isAutomatic)
        case .viommu(let viommu, let ste):
            .nestedHWPT(viommu: viommu.id, fault: hwpt.faultQueue?.id, vste: WordPair(ste.0, ste.1))
        }
    }

    private func walkAttachments(_ take: KeptWalk.Taker) {
        for case let device as KernelDevice in table.all {
            for (key, hwpt) in device.attachments.sorted(by: { $0.key < $1.key }) {
                let pasid = key == KernelDevice.ridKey ? nil : key
                take(.attach(device: device.id, pt: hwpt.id, pasid: pasid), given(hwpt))
            }
        }
        for case let hwpt as KernelHWPT in table.all where hwpt.isTracking {
            take(.setDirtyTracking(hwpt: hwpt.id, true), [])
        }
    }
}
