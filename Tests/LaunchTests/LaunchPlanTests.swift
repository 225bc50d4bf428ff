import Launch
import Testing

/// What programs are told of their descriptors.
struct LaunchPlanTests {
    private static let devices = ["0000:01:00.0", "0000:02:00.0"]

    private func arguments(_ dialect: Dialect, _ command: [String], _ devices: [String] = devices) throws -> [String] {
        try LaunchPlan(devices: devices, command: command, dialect: dialect).arguments
    }

    @Test func numbersTakeThePlacesOfNames() throws {
        let told = try arguments(
            .plain,
            ["vmm", "iommufd={iommufd}", "a={0000:01:00.0},b={0000:02:00.0}", "{0000:03:00.0}", "{}", "{{iommufd}}"])
        #expect(told == ["vmm", "iommufd=3", "a=4,b=5", "{0000:03:00.0}", "{}", "{3}"])
    }

    @Test func qemuGetsObjectsWithIDs() throws {
        #expect(
            try arguments(.qemu, ["qemu-system-x86_64", "-m", "1G"]) == [
                "qemu-system-x86_64", "-m", "1G", "-object", "iommufd,id=iommufd0,fd=3",
                "-device", "vfio-pci,id=hostdev0,fd=4,iommufd=iommufd0",
                "-device", "vfio-pci,id=hostdev1,fd=5,iommufd=iommufd0",
            ])
    }

    @Test func cloudHypervisorsPlatformIsGivenOnce() throws {
        #expect(
            try arguments(.cloudHypervisor, ["cloud-hypervisor"]) == [
                "cloud-hypervisor", "--platform", "iommufd_fd=3", "--device", "fd=4", "fd=5",
            ])
        #expect(
            try arguments(.cloudHypervisor, ["ch", "--platform", "uuid=x", "--cpus", "boot=1"], []) == [
                "ch", "--platform", "uuid=x,iommufd_fd=3", "--cpus", "boot=1",
            ])
        #expect(throws: LaunchPlan.Mistake.ownOption("--device")) {
            try arguments(.cloudHypervisor, ["ch", "--device", "path=/sys/x"])
        }
    }

    @Test func libvirtOpensTheDevicesItself() throws {
        let plan = try LaunchPlan(devices: Self.devices, command: ["virsh", "{iommufd}"], dialect: .libvirt)
        #expect(plan.exported.isEmpty && plan.arguments == ["virsh", "3"])
        let text = try #require(DomainXML.text(devices: ["0000:01:1f.7"]))
        #expect(text.contains("<iommufd enabled='yes' fdgroup='iommufd'/>"))
        #expect(text.contains("<address domain='0x0000' bus='0x01' slot='0x1f' function='0x7'/>"))
        for name in ["vfio0", "0000:01:20.0", "0000:01:00.8", "0000:1:00.0", "0000:01:00", "0000:01:00.0.0"] {
            #expect(DomainXML.text(devices: [name]) == nil, "\(name)")
        }
    }

    @Test func mistakesAreToldBeforeAnythingIsDone() {
        for (devices, command, mistake) in [
            (["a"], [String](), LaunchPlan.Mistake.noCommand), (["a", "b", "a"], ["x"], .twice("a")),
            (["a,b"], ["x"], .badName("a,b")), ([""], ["x"], .badName("")), (["a b"], ["x"], .badName("a b")),
        ] {
            #expect(throws: mistake) { try LaunchPlan(devices: devices, command: command, dialect: .plain) }
        }
    }

    @Test func commandLinesAreQuotedForShells() {
        #expect(
            CommandText.quoted(["a", "b c", "", "it's", "x=$HOME", "1:2.3,4"])
                == #"a 'b c' '' 'it'\''s' 'x=$HOME' 1:2.3,4"#)
    }
}
