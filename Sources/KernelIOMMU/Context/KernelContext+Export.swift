import CLinux
import IOMMU
import IOMMUObjects
import LinuxIO

/// Descriptors that somebody else drives: of a device that stays bound here, or of an iommufd that is given away.
extension KernelContext: DescriptorExport {
    /// This one: the descriptors are real.
    package var descriptorExport: (any DescriptorExport)? { self }

    /// The bound cdev once more. Its holder can keep the device bound, so that only a forced unbind gives it back.
    package func exportDevice(_ id: ObjectID) throws(IOMMUError) -> Descriptor {
        let device = try device(id)
        let copy: Descriptor?
        do throws(SystemError) { copy = try device.bound.duplicate() } catch { throw .noDescriptors }
        guard let copy else { throw Capability.descriptorExport.missing }
        device.isExported = true
        return copy
    }

    /// Detached and blocked; bound until the last copy of its descriptor is closed.
    package func beginForcedUnbind(device id: ObjectID) throws(IOMMUError) -> Answer<Void> {
        later(unbinding(try table.object(id, .device, as: KernelDevice.self)))
    }

    /// An iommufd, and each device opened but not bound. What holds them owns the state from then on.
    package func exportContext(devices names: [String]) throws(IOMMUError) -> [SharedDescriptor] {
        let wasOpen = isOpen
        let devices = try exportable(names)
        do {
            let exported = try open(devices)
            for device in devices { backend.holdings.take(device, by: self) }
            delegatedDevices = devices.map(\.name)
            isDelegated = true
            return exported
        } catch {
            if !wasOpen { takeHandle()?.file.end() }
            throw error
        }
    }

    /// The devices, if the context and they can be handed out.
    func exportable(_ names: [String]) throws(IOMMUError) -> [MachineDevice] {
        guard !isDelegated else { throw Self.delegated(self) }
        guard isEmpty, !isOpen || keepsIOMMUFD else {
            throw IOMMUError(
                .EBUSY, .sessionNotEmpty, "\(owner) holds objects of its own",
                hint: "hand out a session that is fresh, on a connection of its own", ["session": .text(owner)])
        }
        var devices: [MachineDevice] = []
        for name in names {
            guard let device = backend.inventory.device(named: name) else { throw KernelBackend.unknownDevice(name) }
            if let held = backend.holdings.problem(of: device, by: self) { throw held }
            devices.append(device)
        }
        return devices
    }

    private func open(_ devices: [MachineDevice]) throws(IOMMUError) -> [SharedDescriptor] {
        let file = try handle().file
        var exported: [SharedDescriptor] = []
        do throws(SystemError) {
            exported.append(
                SharedDescriptor(try Descriptor(opened: clinux_duplicate(file.number), "duplicate the iommufd")))
        } catch { throw .noDescriptors }
        for device in devices {
            guard let node = device.facts.cdev else { throw Self.notBindable(device) }
            do throws(SystemError) {
                exported.append(SharedDescriptor(try backend.calls.open(node)))
            } catch {
                throw refusal(.open(error), ofBinding: device)
            }
        }
        return exported
    }

    static func delegated(_ context: KernelContext) -> IOMMUError {
        IOMMUError(
            .EBUSY, .delegated, "the iommufd of \(context.owner) has been handed out",
            hint: "whoever has it owns the state; use another session", ["session": .text(context.owner)])
    }
}
