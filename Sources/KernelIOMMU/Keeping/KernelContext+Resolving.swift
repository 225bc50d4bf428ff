import IOMMU
import IOMMUObjects
import LinuxIO

/// The change that was under way when the daemon ended: the kernel has made it, or not, and cannot be asked.
///
/// What makes an object or a mapping is undone, since nobody was told of it; what ends or changes one is done again,
/// which comes to the same whether it was done or not.
extension KernelContext {
    /// ``LivingState/resolve(_:)``
    package func resolve(_ change: Change?) -> Change? {
        guard let change, isOpen, !isDelegated else { return nil }
        switch change {
        case .allocateIOAS, .allocateHWPT, .allocateFaultQueue, .allocateVIOMMU, .allocateVDevice,
            .allocateVEventQueue, .bind:
            sweep()
            return nil
        case .map(let ioas, _): clearGaps(of: ioas)
        case .copy(_, _, _, let to, _, _): clearGaps(of: to)
        case .attach(let device, _, let pasid): undoAttach(device, pasid)
        case .unmap(let ioas, let iova, let length): return finishUnmap(ioas, iova, length) ? change : nil
        case .destroy(let id): return finishDestroy(id) ? change : nil
        default: return again(change) ? change : nil
        }
        return nil
    }

    // MARK: Undone

    /// Ids in the kernel that are in the books.
    private var knownIDs: Set<ObjectID> {
        var known = Set(tombstones)
        for object in table.all {
            known.insert(object.id)
            if let device = object as? KernelDevice { known.formUnion(device.bound.parts) }
        }
        return known
    }

    /// More than one change makes objects.
    private static let mostStrangers: ObjectID = 16

    /// Destroys what is not in the books. The kernel gives the lowest free ids, so none is far above the known ones.
    private func sweep() {
        guard let handle = try? handle() else { return }
        let known = knownIDs
        let last = (known.max() ?? 0) + Self.mostStrangers
        var strangers = (1...last).filter { !known.contains($0) }
        var found = true
        // What others use goes after them.
        while found {
            let before = strangers.count
            strangers.removeAll { id in
                do throws(KernelFailure) {
                    try handle.destroy(id)
                    return true
                } catch { return error.errno == Errno.ENOENT.rawValue }
            }
            found = strangers.count < before
        }
    }

    /// Unmaps what is mapped where the books have nothing.
    private func clearGaps(of id: ObjectID) {
        guard let handle = try? handle(), let ioas = table[id] as? KernelIOAS else { return }
        var next: UInt64 = 0
        while let area = ioas.areas.area(endingAtOrAfter: next) {
            if area.start > next { _ = try? handle.unmap(ioas: id, iova: next, length: area.start - next) }
            guard area.last < .max else { return }
            next = area.last + 1
        }
        // All of it, if there was nothing.
        _ = try? handle.unmap(ioas: id, iova: next, length: next == 0 ? .max : 0 &- next)
    }

    private func undoAttach(_ id: ObjectID, _ pasid: UInt32?) {
        guard let device = table[id] as? KernelDevice, device.attachments[pasid ?? KernelDevice.ridKey] == nil else {
            return
        }
        try? device.bound.detach(pasid: pasid)
    }

    // MARK: Done again

    /// Whole mappings, some of which may have gone.
    private func finishUnmap(_ id: ObjectID, _ iova: UInt64, _ length: UInt64) -> Bool {
        guard let extent = try? extent(ioas: id, iova: iova, length: length), extent.count > 0,
            let handle = try? handle()
        else { return false }
        do throws(KernelFailure) { try handle.unmap(ioas: id, iova: iova, length: length) } catch {
            guard error.errno == Errno.ENOENT.rawValue else { return false }
        }
        forget(extent)
        return true
    }

    private func finishDestroy(_ id: ObjectID) -> Bool {
        guard let object = try? destroyable(id), let handle = try? handle() else { return false }
        // Its descriptor is still kept: the kernel has not come to it.
        guard descriptor(of: id) == nil else { return false }
        do throws(KernelFailure) { try handle.destroy(id) } catch {
            guard error.errno == Errno.ENOENT.rawValue else { return false }
        }
        forget(object)
        return true
    }

    private func again(_ change: Change) -> Bool {
        do throws(IOMMUError) {
            switch change {
            case .allowIOVAs(let ioas, let ranges): try allowIOVAs(ioas: ioas, ranges: ranges)
            case .setHugePages(let ioas, let on): try setHugePages(ioas: ioas, on)
            case .setDirtyTracking(let hwpt, let on): try setDirtyTracking(hwpt: hwpt, enabled: on)
            case .replace(let device, let pt, let pasid): _ = try replace(device: device, with: pt, pasid: pasid)
            case .detach(let device, let pasid): try detach(device: device, pasid: pasid)
            default: return false
            }
            return true
        } catch {
            return false
        }
    }
}
