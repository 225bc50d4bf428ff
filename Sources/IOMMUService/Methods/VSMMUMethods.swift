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
    methods.declare("vsmmu.create", "Make a bare SMMUv3 out of reset.", changesState: true) { m in
        let idr = m.optional(
            "idr", IdentificationParameters.type, "ID registers; absent ones as smmu0 of the laboratory.")
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
            let made = try service.bareSMMUs(call).createVSMMU(overrides: overrides)
            return call.reply { $0.set(vsmmu, made) }
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

    declareGuestMemory(&methods)
    declareRegisterAccess(&methods)
    declareInterrupts(&methods)
    declareVirtualTranslation(&methods)
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

private func declareRegisterAccess(_ methods: inout MethodTable<Service>) {
    methods.declare("vsmmu.mmio_read", "Read a register.") { m in
        let vsmmu = m.param("vsmmu", .id, "The SMMU.")
        let offset = m.param("offset", .address, "0 to 0x1ffff; what lies beyond reads as zero.")
        let size = m.param("size", .count(), "4, or 8: a 64-bit register, or two of 32 bits.")
        let value = m.result("value", .hex, "What it reads.")
        m.needs(.bareSMMUs)
        m.refuses(.registers)
        return { call, service in
            let smmus = try service.bareSMMUs(call)
            let read = try smmus.mmioRead(call[vsmmu], offset: call[offset], size: Int(call[size]))
            return call.reply { $0.set(value, read) }
        }
    }

    methods.declare(
        "vsmmu.mmio_write", "Write a register; all that follows is done with the reply.", changesState: true
    ) { m in
        let vsmmu = m.param("vsmmu", .id, "The SMMU.")
        let offset = m.param("offset", .address, "0 to 0x1ffff; what lies beyond ignores writes.")
        let size = m.param("size", .count(), "4, or 8: a 64-bit register, or two of 32 bits.")
        let value = m.param("value", .address, "What to write.")
        m.needs(.bareSMMUs)
        m.refuses(.registers, .sessionEnds, .stopping)
        m.refuses(.EINVAL, .valueTooWide, "`value` does not fit `size` bytes.")
        return { call, service in
            let smmus = try service.bareSMMUs(call)
            let isDone = try smmus.mmioWrite(
                call[vsmmu], offset: call[offset], size: Int(call[size]), value: call[value])
            return isDone ? call.reply() : try service.consumeCommands(of: call[vsmmu], smmus, for: call)
        }
    }
}

extension BareInterrupt: ParameterChoice {}

private func declareInterrupts(_ methods: inout MethodTable<Service>) {
    methods.declare("vsmmu.set_irq", "Signal an eventfd at an interrupt.", changesState: true) { m in
        m.takesDescriptors(0...1)
        let vsmmu = m.param("vsmmu", .id, "The SMMU.")
        let irq = m.param("irq", .choice(BareInterrupt.self), "Which interrupt.")
        let enable = m.param("enable", .bool, default: true, "False: no longer; then no descriptor is taken.")
        m.needs(.bareSMMUs)
        m.refuses(.unknownVSMMU, .descriptors, .room)
        m.refuses(.EINVAL, .notAnEventfd, "The descriptor is no eventfd.")
        m.refuses(.EAGAIN, .noSignals, "The system has no asynchronous I/O left to signal it with.")
        return { call, service in
            let smmus = try service.bareSMMUs(call)
            let descriptor = call[enable] ? try call.takeDescriptor() : nil
            try smmus.setVSMMUInterrupt(call[vsmmu], call[irq], descriptor: descriptor)
            return call.reply()
        }
    }
}

private struct TransactionParameters {
    let streamID: Param<UInt32>
    let pasid: Param<UInt32?>
    let iova: Param<UInt64>
    let access: Param<AccessChoice>
    let privileged: Param<Bool>

    static var type: ParamType<Object<TransactionParameters>> {
        .object { transaction in
            TransactionParameters(
                streamID: transaction.param("stream_id", .count(), "The StreamID."),
                pasid: transaction.optional("pasid", .count(0...0xf_ffff), "The SubstreamID, 20 bits; absent: none."),
                iova: transaction.param("iova", .address, "The address."),
                access: transaction.param("access", .choice(AccessChoice.self), default: .read, "What it does."),
                privileged: transaction.param("privileged", .bool, default: false, "Whether it is privileged.")
            )
        }
    }
}

private func declareVirtualTranslation(_ methods: inout MethodTable<Service>) {
    methods.declare(
        "vsmmu.translate", "Let a device access an address: caches fill, events are recorded.", changesState: true
    ) { m in
        let vsmmu = m.param("vsmmu", .id, "The SMMU.")
        let streamID = m.param("stream_id", .count(), "The StreamID.")
        let pasid = m.optional("pasid", .count(0...0xf_ffff), "The SubstreamID, 20 bits; absent: none.")
        let iova = m.param("iova", .address, "The address.")
        let access = m.param("access", .choice(AccessChoice.self), default: .read, "What it does.")
        let privileged = m.param("privileged", .bool, default: false, "Whether it is privileged.")
        let trace = m.param("trace", .bool, default: false, "Whether to show each step of the walk.")
        let fields = TranslationFields(m)
        m.needs(.bareSMMUs)
        m.refuses(.unknownVSMMU)
        return { call, service in
            let transaction = TransactionRequest(
                streamID: call[streamID], pasid: call[pasid], address: call[iova], access: call[access].kind,
                privileged: call[privileged])
            let wantsSteps = call[trace]
            let result = try service.bareSMMUs(call).translateVSMMU(
                call[vsmmu], transaction, trace: wantsSteps)
            return call.reply { reply in
                reply.write(result, fields)
                if wantsSteps { reply.write(result.steps, fields) }
            }
        }
    }

    declareVSMMUTranslateMany(&methods)
}

private func declareVSMMUTranslateMany(_ methods: inout MethodTable<Service>) {
    methods.declare("vsmmu.translate_many", "Many accesses, in order.", changesState: true) { m in
        let vsmmu = m.param("vsmmu", .id, "The SMMU.")
        let requests = m.param("requests", .array(of: TransactionParameters.type, count: 0...10_000), "The accesses.")
        let results = m.result(
            "results", .array(of: .object { TranslationFields($0) }), "As of vsmmu.translate, in the same order.")
        m.needs(.bareSMMUs)
        m.refuses(.unknownVSMMU, .sessionEnds, .stopping)
        return { call, service in
            let transactions = call[requests].map { request in
                TransactionRequest(
                    streamID: request[request.fields.streamID], pasid: request[request.fields.pasid],
                    address: request[request.fields.iova], access: request[request.fields.access].kind,
                    privileged: request[request.fields.privileged])
            }
            let smmus = try service.bareSMMUs(call)
            return try service.translate(transactions, of: call[vsmmu], smmus, for: call) { reply, found in
                reply.set(results) { list in
                    for result in found { list.append { $0.write(result, $1) } }
                }
            }
        }
    }
}
