import IOMMU
import JSONRPC
import LinuxIO

/// `fd.export` and `device.export`: devices that a VMM drives through descriptors of its own.
func declareExportMethods(_ methods: inout MethodTable<Service>) {
    methods.declare("fd.export", "Hand out an iommufd and the vfio descriptors of devices.", changesState: true) { m in
        let names = m.param("names", .array(of: .string(maximumBytes: 64), count: 0...15), "The devices.")
        let isForOther = m.param(
            "for_process", .bool, default: false, "For the process whose pidfd comes with the call, not for the caller."
        )
        m.takesDescriptors(0...1)
        m.sendsDescriptors(several: true)
        m.needs(.descriptorExport)
        m.refuses(.EINVAL, .notAPIDFD, "The descriptor that came is no pidfd.")
        m.refuses(.ESRCH, .noSuchProcess, "The process has ended.")
        m.refuses(.EPERM, .notAllowed, "A device is not for this user (`[[allow]]`), or the process is another user's.")
        m.refuses(.handingOver)
        m.refuses(.ENODEV, .noVFIODriver, "No vfio driver has the device.")
        m.refuses(.ENODEV, .deviceRemoved, "The device is just being unplugged.")
        return { call, service in
            let client = try service.client(call)
            let wanted = call[names].map { $0 }
            for name in wanted { try service.requireBind(client, device: name) }
            let export = try service.descriptorExport(client)
            let holder = try call[isForOther] ? service.namedHolder(call) : service.holder(call.connection)
            let descriptors = try export.exportContext(devices: wanted)
            try service.delegate(client.session, to: holder)
            return try call.reply(handingOut: descriptors)
        }
    }

    declareOffer(&methods)

    methods.declare("device.export", "Hand out the descriptor of a bound device.", changesState: true) { m in
        let device = m.param("device", .id, "The device object.")
        m.sendsDescriptors()
        m.needs(.descriptorExport)
        m.refuses(.device)
        return { call, service in
            let export = try service.descriptorExport(try service.client(call))
            return try call.reply(handingOut: [SharedDescriptor(try export.exportDevice(call[device]))])
        }
    }
}

private func declareOffer(_ methods: inout MethodTable<Service>) {
    methods.declare("fd.offer", "Let an iommufd be taken from a one-shot socket.", changesState: true) { m in
        let names = m.param("names", .array(of: .string(maximumBytes: 64), count: 0...15), "Devices to hold for it.")
        _ = m.param("format", .choice(OfferFormat.self), "How it is handed over.")
        let timeout = m.param("timeout_seconds", .count(1...86_400), default: 900, "How long it waits.")
        let path = m.result("path", .string, "The socket: for one connection of this user, or root's.")
        m.needs(.descriptorExport)
        m.refuses(.EPERM, .notAllowed, "No `[[allow]]` rule lets this user have one of the devices.")
        m.refuses(.handingOver)
        m.refuses(.EDQUOT, .quotaExceeded, "The user has `limits.offers_per_uid` offers that nobody has taken.")
        m.refuses(.EIO, .noOfferDirectory, "No socket can be opened there.")
        return { call, service in
            let client = try service.client(call)
            let wanted = call[names].map { $0 }
            for name in wanted { try service.requireBind(client, device: name) }
            let export = try service.descriptorExport(client)
            let limit = service.configuration.limits.offersPerUID
            let place = try service.offers.make(for: client, seconds: UInt64(call[timeout]), limit: limit) {
                () throws(IOMMUError) in try export.offerContext(devices: wanted)
            }
            return call.reply { $0.set(path, place) }
        }
    }
}

/// How an offer is handed over.
enum OfferFormat: String, ParameterChoice {
    /// One connection; one byte 0 with one descriptor; one byte of acknowledgement.
    case kubevirt
}

extension Call {
    /// Replies with descriptors.
    fileprivate func reply(handingOut descriptors: [SharedDescriptor]) throws -> Outcome {
        for descriptor in descriptors { try attach(descriptor) }
        return reply()
    }
}
