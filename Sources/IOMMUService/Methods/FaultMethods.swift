import IOMMU
import JSONRPC

private enum ResponseCode: String, ParameterChoice {
    case success
    case invalid
}

private struct ResponseParameters {
    let cookie: Param<UInt32>
    let code: Param<ResponseCode>

    static var type: ParamType<Object<ResponseParameters>> {
        .object { response in
            ResponseParameters(
                cookie: response.param("cookie", .count(), "The `cookie` of the fault group."),
                code: response.param("code", .choice(ResponseCode.self), "success: the device retries.")
            )
        }
    }
}

private struct PageFaultFields {
    let device: Field<Count>
    let pasid: Field<Count>
    let groupID: Field<Count>
    let perm: Field<ListOf<String>>
    let addr: Field<Hex>
    let length: Field<Hex>
    let cookie: Field<Count>
    let last: Field<Bool>

    static var type: ResultType<ObjectOf<PageFaultFields>> {
        .object { fault in
            PageFaultFields(
                device: fault.result("device", .count, "The device object."),
                pasid: fault.optionalResult("pasid", .count, "Its PASID, if the access had one."),
                groupID: fault.result("group_id", .count, "Faults of one group are answered together."),
                perm: fault.result("perm", .array(of: .string), "Of read, write, exec, priv."),
                addr: fault.result("addr", .hex, "The faulting address."),
                length: fault.result("length", .hex, "Bytes that the device means to use."),
                cookie: fault.result("cookie", .count, "What fault.respond names it by."),
                last: fault.result("last", .bool, "Whether it ends its group.")
            )
        }
    }
}

/// `fault.*`: page faults that devices wait on.
func declareFaultMethods(_ methods: inout MethodTable<Service>) {
    methods.declare("fault.alloc", "Make a fault queue.", changesState: true) { m in
        let fault = m.result("fault", .count, "The fault queue.")
        m.refuses(.room, .kernel, .iommufd, .stored)
        return { call, service in
            let session = try service.client(call).session
            return service.reply(call, session, try session.context.beginAllocateFaultQueue(), fault) { $0.set($1, $2) }
        }
    }

    methods.declare("fault.read", "Take page faults from a queue.", changesState: true) { m in
        let fault = m.param("fault", .id, "The fault queue.")
        let max = m.param("max", .count(1...65_536), default: 64, "At most so many; whole groups only.")
        let timeout = m.optional("timeout_ms", .count(0...3_600_000), "Wait so long for the first; absent: not at all.")
        let faults = m.result("faults", .array(of: PageFaultFields.type), "The faults; empty if there are none.")
        m.refuses(.unknownFault, .stopping)
        m.refuses(.EINVAL, .groupDoesNotFit, "The next group has more faults than `max`.")
        return { call, service in
            let (queue, limit) = (call[fault], Int(call[max]))
            return try service.readQueue(call, waiting: call[timeout]) { context throws(IOMMUError) in
                try context.readFaults(queue, max: limit)
            } write: {
                $0.write($1, faults)
            }
        }
    }

    declareFaultRespond(&methods)
}

private func declareFaultRespond(_ methods: inout MethodTable<Service>) {
    methods.declare("fault.respond", "Answer page faults: the devices go on.", changesState: true) { m in
        let fault = m.param("fault", .id, "The fault queue.")
        let responses = m.param("responses", .array(of: ResponseParameters.type, count: 0...65_536), "The answers.")
        let handled = m.result("handled", .count, "Answers that were taken: all of them.")
        m.refuses(.unknownFault)
        m.refuses(.EINVAL, .unknownCookie, "A cookie names no waiting fault; `data.handled` were taken before it.")
        return { call, service in
            let answers = call[responses].map { response in
                FaultResponse(
                    cookie: response[response.fields.cookie], success: response[response.fields.code] == .success)
            }
            let taken = try service.context(call).respond(fault: call[fault], answers)
            return call.reply { $0.set(handled, taken) }
        }
    }
}

extension ResultWriter {
    fileprivate func write(_ faults: [PageFault], _ field: Field<ListOf<ObjectOf<PageFaultFields>>>) {
        set(field) { list in
            for fault in faults { list.append { $0.write(fault, $1) } }
        }
    }

    private func write(_ fault: PageFault, _ fields: PageFaultFields) {
        set(fields.device, fault.device)
        if let pasid = fault.pasid { set(fields.pasid, pasid) }
        set(fields.groupID, fault.groupID)
        set(fields.perm) { list in for permission in fault.permissions { list.append(permission) } }
        set(fields.addr, fault.address)
        set(fields.length, fault.length)
        set(fields.cookie, fault.cookie)
        set(fields.last, fault.last)
    }
}
