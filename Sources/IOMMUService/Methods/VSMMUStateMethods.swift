import IOMMU
import JSONRPC

/// `vsmmu.save` and `vsmmu.load`: a bare SMMU that moves with its guest.
func declareVSMMUStateMethods(_ methods: inout MethodTable<Service>) {
    methods.declare(
        "vsmmu.save", "Write the state into a memory object: registers and stalled transactions.", changesState: true
    ) { m in
        let parameters = StateParameters(m)
        let length = m.result("length", .count, "Bytes written.")
        m.refuses(.room)
        m.refuses(.EPERM, .memoryReadOnly, "The descriptor or its seals forbid writing.")
        return { call, service in
            try parameters.work(call, service) { (smmus, vsmmu, memory, offset) throws(IOMMUError) in
                try smmus.saveVSMMU(vsmmu, memory: memory, offset: offset)
            } write: {
                $0.set(length, $1)
            }
        }
    }

    methods.declare(
        "vsmmu.load", "Become what vsmmu.save has written, of an SMMU with the same ID registers; caches are empty.",
        changesState: true
    ) { m in
        let parameters = StateParameters(m)
        let length = m.result("length", .count, "Bytes read.")
        m.refuses(.EINVAL, .stateVersion, "It was saved by a daemon that is too new or too old.")
        m.refuses(.EINVAL, .stateCorrupt, "It is no state, or has changed since it was saved.")
        m.refuses(.EINVAL, .stateMismatch, "It is the state of an SMMU with other ID registers.")
        return { call, service in
            try parameters.work(call, service) { (smmus, vsmmu, memory, offset) throws(IOMMUError) in
                try smmus.loadVSMMU(vsmmu, memory: memory, offset: offset)
            } write: {
                $0.set(length, $1)
            }
        }
    }
}

/// The SMMU and where its state lies.
private struct StateParameters {
    let vsmmu: Param<UInt32>
    let memory: Param<UInt32>
    let offset: Param<UInt64>

    init(_ method: MethodBuilder) {
        vsmmu = method.param("vsmmu", .id, "The SMMU.")
        memory = method.param("memory", .id, "The memory object.")
        offset = method.param("offset", .address, default: 0, "First byte of the state in it.")
        method.needs(.bareSMMUs)
        method.refuses(.unknownVSMMU, .transfer, .sessionEnds, .stopping)
    }

    /// Behind what others write to the SMMU, and with what its VMM has to be told.
    func work(
        _ call: Call, _ service: Service,
        _ body: @escaping (any BareSMMUs, ObjectID, ObjectID, UInt64) throws(IOMMUError) -> UInt64,
        write: @escaping (ResultWriter, UInt64) -> Void
    ) throws -> Outcome {
        let (id, memory, offset) = (call[vsmmu], call[memory], call[offset])
        var length: UInt64 = 0
        return try service.work(.writing, on: id, try service.bareSMMUs(call), for: call) {
            (smmus, _) throws(IOMMUError) in
            length = try body(smmus, id, memory, offset)
            return true
        } write: {
            write($0, length)
        }
    }
}
