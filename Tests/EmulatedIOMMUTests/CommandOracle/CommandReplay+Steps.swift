import IOMMU
import SMMUv3

@testable import EmulatedIOMMU

/// The recorded steps by their names.
extension CommandReplay {
    /// - Returns: whether the step is one of ours, or did what it was to do.
    func perform(_ step: String) throws -> Bool {
        if try performMapping(step) { return true }
        switch step {
        case "attach A to IOAS 1", "attach A again": try attach(a, "IOAS 1")
        case "attach B to IOAS 1": try attach(b, "IOAS 1")
        case "detach A, B stays", "detach", "detach S2", "detach nested", "dirty S1: detach", "fault: detach",
            "fault: detach #2", "fault: detach S2", "pasid: detach RID", "pasid: detach RID, end",
            "pasid: detach RID under PASIDs":
            try attach(a, .blocked)
        case "detach B, the last", "detach B": try attach(b, .blocked)
        case "replace IOAS 1 by IOAS 2", "replace IOAS 2 by itself": try attach(a, "IOAS 2")
        case "attach B to IOAS 2": try attach(b, "IOAS 2")
        case "replace B: IOAS 2 -> IOAS 1, A stays": try attach(b, "IOAS 1")
        case "hwpt.alloc on IOAS 1, idle": _ = try domain("idle hwpt")
        case "destroy the idle hwpt with a mapping":
            try map("idle hwpt", iova: 0x1_0000_0000, length: 0x1000, blocks: false)
            destroy("idle hwpt")
        case "hwpt.alloc nest_parent":
            if bench.driver.features.hasNesting { _ = try domain("S2", .nestParent) }
        case "replace S1 by nest parent S2", "replace nested S1 by its parent S2", "back to the parent",
            "attach S2 from blocked", "fault: attach nest parent S2":
            _ = try domain("S2", .nestParent)
            try attach(a, "S2")
        case "replace S2 by S1": try attach(a, "IOAS 1")
        case "destroy nest parent": destroy("S2")
        case "default domain DMA": try attach(a, "default")
        case "remove the PCI device": try unplug()
        case "rescan the PCI bus": try replug()
        default: return try performGuest(step) || performPASID(step) || performDirty(step) || isNotOurs(step)
        }
        return true
    }

    /// What there is no counterpart of: native drivers, vfio, the bring-up that came with the bench.
    private func isNotOurs(_ step: String) -> Bool {
        let names = ["unbind the native driver", "probe vfio-pci", "open cdev", "native driver back", "unbind A"]
        return names.contains { step.contains($0) } || step.hasPrefix("bind ") || step.hasPrefix("close the cdev")
            || [
                "driver probe, devices added", "default domain identity", "unmap without any hwpt", "hwpt.alloc dirty",
            ].contains(step)
    }

    /// "S1: unmap 3 pages at +4K iova=100001000 len=3000"
    private func performMapping(_ step: String) throws -> Bool {
        let words = step.split(separator: " ")
        guard words.count > 3, let iova = number(words[words.count - 2], "iova="),
            let length = number(words[words.count - 1], "len="), let end = step.range(of: ": ")
        else { return false }
        let name =
            switch String(step[..<end.lowerBound]) {
            case "S1": "IOAS 1"
            case "S2", "nest parent under nested": "S2"
            case "pasid: h1 (RID and PASID 6)", "pasid": step.contains("h1") ? "h1" : "h2"
            default: "idle hwpt"
            }
        if step.contains(": map ") {
            try map(name, iova: iova, length: length, blocks: step.contains("block"))
        } else {
            try unmap(name, iova: iova, length: length)
        }
        return true
    }

    private func number(_ text: Substring, _ prefix: String) -> UInt64? {
        text.hasPrefix(prefix) ? UInt64(text.dropFirst(prefix.count), radix: 16) : nil
    }

    // MARK: Guests

    private func performGuest(_ step: String) throws -> Bool {
        switch step {
        case "viommu.alloc": viommu = try bench.driver.makeViommu(parent: try domain("S2"))
        case "vdevice.alloc virt_id=77": if let a { try viommu?.setVDevice(virtualID: 0x77, master: a) }
        case "map guest memory":
            try map("S2", iova: 0x8000_0000, length: 0x10_0000, blocks: false)
            try map("S2", iova: 0x4000_0000, length: 0x1000, blocks: false)
        case "unmap guest memory":
            try unmap("S2", iova: 0x8000_0000, length: 0x10_0000)
            try unmap("S2", iova: 0x4000_0000, length: 0x1000)
        case "hwpt.alloc nested x4":
            let ats: UInt64 = run == "ats" ? 1 << 28 : 0
            let vstes: [String: (UInt64, UInt64)] = [
                "S1": (0x8000_000b, 0xd5 | ats), "other": (0x8000_100b, 0xd5 | ats), "bypass": (9, ats),
                "abort": (1, 0),
            ]
            guard let viommu else { return false }
            nested = try vstes.mapValues { try bench.driver.makeNestedDomain(viommu, vste: $0) }
        case "replace S2 by nested S1", "replace nested abort by nested S1", "parent to nested again",
            "attach nested from blocked":
            try nest("S1")
        case "replace nested S1 by nested S1 of another CD table": try nest("other")
        case "replace nested S1 by nested bypass": try nest("bypass")
        case "replace nested bypass by nested abort": try nest("abort")
        case "destroy nested hwpts": nested = [:]
        case "destroy vdevice": viommu?.removeVDevice(virtualID: 0x77)
        case "destroy viommu": viommu = nil
        default: return performInvalidation(step)
        }
        return true
    }

    private func performInvalidation(_ step: String) -> Bool {
        let commands: [Command]
        switch step {
        case "hwpt.invalidate NH_VA, CFGI_CD, NSNH_ALL":
            commands = [
                .TLBI_NH_VA(address: 0x1000, asid: 5, leaf: false), .CFGI_CD(streamID: 0x77, substreamID: 0),
                .TLBI_NSNH_ALL(),
            ]
        case "hwpt.invalidate NH_ASID": commands = [.TLBI_NH_ASID(asid: 5)]
        case "hwpt.invalidate NH_VAA range":
            commands = [.TLBI_NH_VAA(address: 0x1000, range: InvalidationRange(TG: 1, NUM: 3, SCALE: 2, TTL: 3))]
        case "hwpt.invalidate NH_ALL vmid 9": commands = [.TLBI_NH_ALL(vmid: 9)]
        case "hwpt.invalidate CFGI_CD_ALL": commands = [.CFGI_CD_ALL(streamID: 0x77)]
        case "hwpt.invalidate NH_VA with VMID 9 in it": commands = [.TLBI_NH_VA(address: 0x2000, asid: 5, vmid: 9)]
        case "hwpt.invalidate ATC_INV":
            commands = [.ATC_INV(streamID: 0x77, substreamID: nil, address: 0, size: 52)]
        case "hwpt.invalidate NH_VA, then CFGI_STE":
            commands = [.TLBI_NH_VA(address: 0x1000, asid: 5), .CFGI_STE(streamID: 0x77)]
        case "hwpt.invalidate CFGI_CD unknown vSID": commands = [.CFGI_CD(streamID: 0x99, substreamID: 0)]
        case "hwpt.invalidate CMD_SYNC": commands = [.SYNC()]
        default: return false
        }
        _ = try? viommu?.invalidate(entries: commands.map { ($0.word0, $0.word1) })
        return true
    }

    // MARK: PASIDs

    private func performPASID(_ step: String) throws -> Bool {
        switch step {
        case "hwpt.alloc pasid x2": for name in ["h1", "h2"] { _ = try domain(name, .stage1, pasid: true) }
        case "pasid: RID attach h1", "pasid: attach RID under PASIDs": try attach(a, "h1")
        case "pasid: attach PASID 5 h2", "pasid: replace PASID 5 h1 -> h2", "pasid: attach PASID 5 with RID blocked":
            try attach(a, pasid: 5, "h2")
        case "pasid: attach PASID 6 h1, which RID has too", "pasid: attach PASID 6 with RID blocked":
            try attach(a, pasid: 6, "h1")
        case "pasid: replace PASID 5 h2 -> h1": try attach(a, pasid: 5, "h1")
        case "pasid: detach PASID 5", "pasid: detach PASID 5, the last, RID blocked":
            try attach(a, pasid: 5, .blocked)
        case "pasid: detach PASID 6", "pasid: detach PASID 6 #2": try attach(a, pasid: 6, .blocked)
        case "pasid: attach PASID 5, RID h1, detach PASID 5":
            try attach(a, pasid: 5, "h2")
            try attach(a, "h1")
            try attach(a, pasid: 5, .blocked)
        case "pasid: attach PASID 1023": try attach(a, pasid: 1023, "h2")
        case "pasid: attach PASID 1024": try attach(a, pasid: 1024, "h2")
        case "pasid: detach PASID 1023": try attach(a, pasid: 1023, .blocked)
        case "pasid: detach PASID 1024": try attach(a, pasid: 1024, .blocked)
        case "pasid: destroy hwpts": for name in ["h1", "h2"] { destroy(name) }
        default: return false
        }
        return true
    }

    // MARK: Dirty tracking and faults

    private func performDirty(_ step: String) throws -> Bool {
        let iova: UInt64 = 0x1_0000_0000
        switch step {
        case "dirty S1: hwpt.alloc": _ = try domain("dirty", .stage1, dirty: true)
        case "dirty S1: map 4 pages and a block, attach":
            try map("dirty", iova: iova, length: 0x4000, blocks: false)
            try map("dirty", iova: iova + 0x20_0000, length: 0x20_0000, blocks: true)
            try attach(a, "dirty")
        case "dirty S1: tracking on": try domain("dirty").setDirtyTracking(true)
        case "dirty S1: get bitmap", "dirty S1: get bitmap #2", "dirty S1: get bitmap of the new pages":
            var bitmap = [UInt8](repeating: 0, count: 128)
            _ = try domain("dirty").readDirty(
                iova: iova, length: 0x6000, pageSize: 0x1000, clear: true, into: &bitmap)
        case "dirty S1: map 2 more pages": try map("dirty", iova: iova + 0x4000, length: 0x2000, blocks: false)
        case "dirty S1: tracking off": try domain("dirty").setDirtyTracking(false)
        case "dirty S1: unmap 4 pages": try unmap("dirty", iova: iova, length: 0x4000)
        case "dirty S1: destroy": destroy("dirty")
        case "fault: queue and hwpt": _ = try domain("fault")
        case "fault: attach a fault hwpt": try attach(a, "fault", faults: true)
        case "fault: replace by IOAS 1 without faults", "fault: attach IOAS 1, no fault hwpt": try attach(a, "IOAS 1")
        default: return false
        }
        return true
    }
}
