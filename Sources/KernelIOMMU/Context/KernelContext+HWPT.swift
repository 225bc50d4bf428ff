import CLinux
import IOMMU
import IOMMUObjects
import LinuxIO

extension KernelContext {
    /// `IOMMU_HWPT_ALLOC`
    package func allocateHWPT(_ request: HWPTRequest) throws(IOMMUError) -> ObjectID {
        try now(try allocating(request))
    }

    /// ``allocateHWPT(_:)`` on a worker: all mappings of the IOAS are entered.
    package func beginAllocateHWPT(_ request: HWPTRequest) throws(IOMMUError) -> Answer<ObjectID> {
        later(try allocating(request))
    }

    private typealias AllocateWork = Work<Result<ObjectID, KernelFailure>, ObjectID>

    private func allocating(_ request: HWPTRequest) throws(IOMMUError) -> AllocateWork {
        let device = try device(request.device)
        guard let target = table[request.pt] else {
            throw IOMMUError(
                .EINVAL, .unknownPt, "there is no object \(request.pt) in this session",
                hint: "session.objects lists what there is", ["pt": .number(UInt64(request.pt))])
        }
        var faultQueue: KernelFaultQueue?
        if let fault = request.fault { faultQueue = try table.object(fault, .fault, as: KernelFaultQueue.self) }
        let base = try base(of: target, request)
        let handle = try handle()
        try charge()
        return Work(
            work: { Result { () throws(KernelFailure) in try handle.allocateHWPT(request) } }
        ) { [self] result in
            switch result {
            case .success(let id):
                let hwpt = KernelHWPT(
                    id: id, base: base, flags: request.flags, isAutomatic: false, faultQueue: faultQueue)
                enter(hwpt)
                return .success(id)
            case .failure(let failure):
                store.releaseObject()
                return .failure(refusal(failure, of: request, device, target))
            }
        }
    }

    /// What the table would be one of; a combination that can be none of an SMMUv3's is refused here.
    private func base(of target: KernelObject, _ request: HWPTRequest) throws(IOMMUError) -> KernelHWPT.Base {
        switch target {
        case let ioas as KernelIOAS:
            guard request.vste == nil else {
                throw unsupported(
                    .dataWithoutViommu, "a table over IOAS \(request.pt) takes no data", request,
                    hint: "a nested stage 1 has a viommu as pt")
            }
            return .ioas(ioas)
        case let viommu as KernelVIOMMU:
            guard let vste = request.vste else {
                throw unsupported(
                    .dataRequired, "a nested stage 1 of viommu \(request.pt) needs the guest's STE", request,
                    hint: "pass data.ste")
            }
            return .viommu(viommu, ste: vste)
        case let hwpt as KernelHWPT where !hwpt.isNested:
            throw unsupported(
                .nestThroughViommu, "an SMMUv3 nests only through a viommu, not in hwpt \(request.pt)", request,
                hint: "viommu.alloc on that hwpt, then hwpt.alloc with the viommu as pt")
        default:
            throw Self.wrongKind(target)
        }
    }

    private func unsupported(
        _ reason: Reason, _ message: String, _ request: HWPTRequest, hint: String
    ) -> IOMMUError {
        IOMMUError(
            .EOPNOTSUPP, reason, message, hint: hint,
            ["pt": .number(UInt64(request.pt)), "flags": .number(UInt64(request.flags.rawValue))])
    }

    private func refusal(
        _ failure: KernelFailure, of request: HWPTRequest, _ device: KernelDevice, _ target: KernelObject
    ) -> IOMMUError {
        failure.refusal { errno in
            switch errno {
            case .EOPNOTSUPP: return missing(request, device)
            case .EINVAL:
                return IOMMUError(
                    .EINVAL, .otherSMMU, "object \(request.pt) does not fit the IOMMU of device \(device.name)",
                    hint: "take an object made with a device behind the same IOMMU")
            case .EIO:
                return IOMMUError(
                    .EIO, .illegalVSTE, "the guest's STE for \(device.name) has bits that are not its own",
                    hint: "words 0 and 1 may have V, Config, S1Fmt, S1ContextPtr, S1CDMax, S1DSS, S1CIR, S1COR, "
                        + "S1CSH, S1STALLD and EATS")
            case .EADDRINUSE: return collision(of: device, with: target)
            case .ENODEV: return .removed(device)
            case .ENOSPC: return .noTag(behind: device)
            default: return nil
            }
        }.with("pt", .number(UInt64(request.pt))).with("name", .text(device.name))
    }

    /// Which of the things that were asked for the hardware does not have.
    private func missing(_ request: HWPTRequest, _ device: KernelDevice) -> IOMMUError {
        let info = try? hardwareInfo(device: device.id)
        let flags = request.flags
        if request.vste != nil || flags == .nestParent && request.fault == nil {
            return unsupported(
                .noNesting,
                "hwpt.alloc over \(request.pt): the IOMMU of \(device.name) cannot nest, or this kernel cannot",
                request,
                hint: "take a device behind one that can")
        }
        if flags.contains(.dirtyTracking), info.map({ !$0.capabilities.contains("dirty_tracking") }) ?? false {
            return unsupported(
                .noDirtyTracking, "hwpt.alloc over \(request.pt): the IOMMU of \(device.name) keeps no dirty state",
                request,
                hint: "leave dirty_tracking out")
        }
        if flags.contains(.pasid), device.pasidBits == 0 {
            return unsupported(
                .noPASID, "hwpt.alloc over \(request.pt): device \(device.name) has no PASIDs", request,
                hint: "leave pasid out")
        }
        return unsupported(
            .flagsUnsupported,
            "the IOMMU of \(device.name), or this kernel, has no flags \(request.flags.rawValue) together",
            request, hint: "nest_parent stands alone; dirty_tracking and pasid may be combined")
    }
}

extension KernelHandle {
    private static let faultIDValid: UInt32 = 4
    /// `IOMMU_HWPT_DATA_ARM_SMMUV3`, and the same for invalidations and the types of viommus and their events.
    private static let smmuV3Data: UInt32 = 2

    /// `IOMMU_HWPT_ALLOC`
    func allocateHWPT(_ request: HWPTRequest) throws(KernelFailure) -> ObjectID {
        var argument = clinux_iommu_hwpt_alloc()
        argument.flags = request.flags.rawValue | (request.fault == nil ? 0 : Self.faultIDValid)
        (argument.dev_id, argument.pt_id) = (request.device, request.pt)
        argument.fault_id = request.fault ?? 0
        guard let vste = request.vste else {
            try perform(IOMMUFD.hwptAlloc, &argument)
            return argument.out_hwpt_id
        }
        argument.data_type = Self.smmuV3Data
        var failure: KernelFailure?
        withUnsafeBytes(of: (vste.0.littleEndian, vste.1.littleEndian)) { words in
            argument.data_len = UInt32(words.count)
            argument.data_uptr = UInt64(UInt(bitPattern: words.baseAddress))
            do throws(KernelFailure) { try perform(IOMMUFD.hwptAlloc, &argument) } catch { failure = error }
        }
        if let failure { throw failure }
        return argument.out_hwpt_id
    }
}
