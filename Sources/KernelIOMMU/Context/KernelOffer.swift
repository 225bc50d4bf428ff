import CLinux
import IOMMU
import IOMMUObjects
import LinuxIO

/// An iommufd that waits for its taker: not the context's own, which need not be there before.
final class KernelOffer: ContextOffer {
    private unowned let context: KernelContext
    private let handle: KernelHandle
    private let devices: [MachineDevice]
    private var isOver = false
    let iommufd: SharedDescriptor

    init(_ context: KernelContext, _ handle: KernelHandle, _ devices: [MachineDevice]) throws(IOMMUError) {
        (self.context, self.handle, self.devices) = (context, handle, devices)
        do throws(SystemError) {
            iommufd = SharedDescriptor(
                try Descriptor(opened: clinux_duplicate(handle.file.number), "duplicate the iommufd"))
        } catch { throw .noDescriptors }
        for device in devices { context.backend.holdings.take(device, by: context) }
    }

    var isOpen: Bool { !isOver && context.isEmpty && (!context.isOpen || context.keepsIOMMUFD) }

    func accept() -> Bool {
        guard isOpen else { return false }
        isOver = true
        context.delegate(handle, with: devices.map(\.name))
        return true
    }

    func withdraw() {
        guard !isOver else { return }
        isOver = true
        for device in devices { context.backend.holdings.release(device.name) }
        context.store.account.release(1, of: .descriptors)
        handle.file.end()
    }
}

extension KernelContext {
    /// An iommufd for somebody who comes for it later. The devices are held for the context from now on.
    package func offerContext(devices names: [String]) throws(IOMMUError) -> any ContextOffer {
        let devices = try exportable(names)
        try store.account.charge(1, of: .descriptors)
        do throws(IOMMUError) {
            let handle = try backend.openIOMMUFD()
            do throws(IOMMUError) {
                return try KernelOffer(self, handle, devices)
            } catch {
                handle.file.end()
                throw error
            }
        } catch {
            store.account.release(1, of: .descriptors)
            throw error
        }
    }
}
