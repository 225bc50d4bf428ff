import IOMMU
import JSONRPC
import LinuxIO

/// `fd.export` and `device.export`: devices that a VMM drives through descriptors of its own.
func declareExportMethods(_ methods: inout MethodTable<Service>) {
    methods.declare("fd.export", "Hand out an iommufd and the vfio descriptors of devices.", changesState: true) { m in
        let names = m.param("names", .array(of: .string(maximumBytes: 64), count: 0...15), "The devices.")
        m.sendsDescriptors(several: true)
        m.needs(.descriptorExport)
        m.refuses(.EPERM, .notAllowed, "No `[[allow]]` rule lets this user have one of the devices.")
        m.refuses(.iommufd, .deviceName, .room)
        m.refuses(.EBUSY, .sessionNotEmpty, "The session holds objects of its own.")
        m.refuses(.EBUSY, .groupOwnedElsewhere, "A device, or one of its group, belongs to another session.")
        m.refuses(.ENODEV, .noVFIODriver, "No vfio driver has the device.")
        m.refuses(.ENODEV, .deviceRemoved, "The device is just being unplugged.")
        return { call, service in
            let client = try service.client(call)
            let wanted = call[names].map { $0 }
            for name in wanted { try service.policy.requireBind(client.peer, device: name) }
            let export = try service.descriptorExport(client)
            return try call.reply(handingOut: try export.exportContext(devices: wanted))
        }
    }

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

extension Call {
    /// Replies with descriptors.
    fileprivate func reply(handingOut descriptors: [SharedDescriptor]) throws -> Outcome {
        for descriptor in descriptors { try attach(descriptor) }
        return reply()
    }
}
