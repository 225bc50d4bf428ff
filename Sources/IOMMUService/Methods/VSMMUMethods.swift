import IOMMU
import JSONRPC

private struct IdentificationParameters {
    let words: [(register: IDRegister, value: Param<UInt64?>)]

    static var type: ParamType<Object<IdentificationParameters>> {
        .object { o in
            let registers: [(IDRegister, StaticString)] = [
                (.IDR0, "IDR0"), (.IDR1, "IDR1"), (.IDR2, "IDR2"), (.IDR3, "IDR3"), (.IDR4, "IDR4"), (.IDR5, "IDR5"),
                (.IIDR, "IIDR"), (.AIDR, "AIDR"),
            ]
            return IdentificationParameters(
                words: registers.map { register, name in
                    (register, o.optional(name, .unsigned(0...0xffff_ffff), "The whole register word."))
                })
        }
    }
}

/// `vsmmu.*`: a bare SMMUv3 that the client itself programs.
func declareVSMMUMethods(_ methods: inout MethodTable<Service>) {
    declareVSMMUCreation(&methods)
    declareVSMMULife(&methods)
    declareGuestMemory(&methods)
    declareVSMMURegisterMethods(&methods)
    declareVSMMUTranslationMethods(&methods)
    declareVSMMUWaitingMethods(&methods)
    declareVSMMUStateMethods(&methods)
    declareVSMMURingMethods(&methods)
}

extension BareIdentity: ParameterChoice {}

private func declareVSMMUCreation(_ methods: inout MethodTable<Service>) {
    methods.declare("vsmmu.create", "Make a bare SMMUv3 out of reset.", changesState: true) { m in
        let identity = m.param(
            "identity", .choice(BareIdentity.self), default: .standard,
            "Whose ID registers: default has HYP and MSI; linux all granules; qemu no stalls, ATS or PASIDs; "
                + "small 64 streams in a linear table; full all that the model has.")
        let idr = m.optional("idr", IdentificationParameters.type, "ID registers in the place of those of `identity`.")
        let vsmmu = m.result("vsmmu", .count, "The SMMU.")
        m.needs(.bareSMMUs)
        m.refuses(.room)
        m.refuses(.EINVAL, .idrNotModelled, "The model cannot do what a field says; `data.field` names it.")
        return { call, service in
            var overrides: [IDRegister: UInt32] = [:]
            if let given = call[idr] {
                for word in given.fields.words {
                    if let value = given[word.value] { overrides[word.register] = UInt32(truncatingIfNeeded: value) }
                }
            }
            let made = try service.bareSMMUs(call).createVSMMU(call[identity], overrides: overrides)
            return call.reply { $0.set(vsmmu, made) }
        }
    }
}

private func declareVSMMULife(_ methods: inout MethodTable<Service>) {
    methods.declare(
        "vsmmu.reset", "Out of reset again: a guest's reboot. Memory and eventfds stay.", changesState: true
    ) { m in
        let vsmmu = m.param("vsmmu", .id, "The SMMU.")
        m.needs(.bareSMMUs)
        m.refuses(.unknownVSMMU, .sessionEnds, .stopping)
        return { call, service in
            let (id, smmus) = (call[vsmmu], try service.bareSMMUs(call))
            return try service.work(.writing, on: id, smmus, for: call) { (smmus, _) throws(IOMMUError) in
                try smmus.resetVSMMU(id)
                return true
            }
        }
    }

    methods.declare("vsmmu.destroy", "Take the SMMU away and let go of its memory.", changesState: true) { m in
        let vsmmu = m.param("vsmmu", .id, "The SMMU.")
        m.needs(.bareSMMUs)
        m.refuses(.unknownVSMMU)
        return { call, service in
            try service.bareSMMUs(call).destroyVSMMU(call[vsmmu])
            return call.reply()
        }
    }
}

private func declareGuestMemory(_ methods: inout MethodTable<Service>) {
    methods.declare("vsmmu.memory", "Put memory at a guest physical address.", changesState: true) { m in
        let vsmmu = m.param("vsmmu", .id, "The SMMU.")
        let memory = m.param("memory", .id, "The memory object.")
        let offset = m.param("offset", .address, default: 0, "First byte of it; a multiple of 4096.")
        let length = m.param("length", .address, "Bytes; a multiple of 4096.")
        let gpa = m.param("gpa", .address, "Where; a multiple of 4096.")
        m.needs(.bareSMMUs)
        m.refuses(.unknownVSMMU, .unknownMemory, .room)
        m.refuses(.EINVAL, .badRange, "The range is unaligned, empty, or outside the memory object.")
        m.refuses(.EEXIST, .gpaInUse, "There is memory already.")
        return { call, service in
            try service.bareSMMUs(call).mapVSMMUMemory(
                call[vsmmu], memory: call[memory], offset: call[offset], length: call[length], gpa: call[gpa])
            return call.reply()
        }
    }

    methods.declare("vsmmu.unmap_memory", "Take a range of guest memory away.", changesState: true) { m in
        let vsmmu = m.param("vsmmu", .id, "The SMMU.")
        let gpa = m.param("gpa", .address, "Where the range begins.")
        m.needs(.bareSMMUs)
        m.refuses(.unknownVSMMU)
        m.refuses(.ENOENT, .noGuestMemory, "No range begins there.")
        return { call, service in
            try service.bareSMMUs(call).unmapVSMMUMemory(call[vsmmu], gpa: call[gpa])
            return call.reply()
        }
    }
}
