/// How a program wants to be told of descriptors that it inherits.
public enum Dialect: String, Sendable, CaseIterable {
    /// `{iommufd}` and `{NAME}` in its arguments stand for the numbers.
    case plain
    /// `-object iommufd,…` and `-device vfio-pci,…` (QEMU 8.2 and newer).
    case qemu
    /// `--platform iommufd_fd=…` and `--device fd=…`.
    case cloudHypervisor = "cloud-hypervisor"
    /// Elements of a domain's XML; libvirt opens the devices itself (12.2 and newer).
    case libvirt

    /// Whether the program gets the nodes of the devices, besides the iommufd.
    public var takesDevices: Bool { self != .libvirt }
}
