# cpack -G DEB: crisp_VERSION_ARCH.deb in the build directory. Any preset will do; a release is the
# release preset's.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME crisp)
set(CPACK_PACKAGE_CONTACT "${CRISP_MAINTAINER}")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "container runtime for Kubernetes in one daemon")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"crispd speaks the Kubernetes Container Runtime Interface (CRI v1) to the
kubelet and to crictl. It pulls images, runs pods and containers and connects
them to the network by itself: no other runtime is needed beneath it.
.
Pods outlive the daemon: restarting or upgrading it ends none of them.
.
Installing this package starts nothing. `crisp doctor` says whether the
machine is ready for it.")

set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_INSTALL_PREFIX /usr)
# Files outside the prefix: the configuration, the unit.
set(CPACK_SET_DESTDIR ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS ${CMAKE_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS})
# Nothing is rebuilt behind the packager's back: what is there is packaged.
set(CPACK_CMAKE_GENERATOR Ninja)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# apparmor_parser loads the default profile where the kernel has AppArmor.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "apparmor")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "containernetworking-plugins, cri-tools, kmod")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
  ${CMAKE_CURRENT_SOURCE_DIR}/deb/conffiles ${CMAKE_CURRENT_SOURCE_DIR}/deb/postinst
  ${CMAKE_CURRENT_SOURCE_DIR}/deb/prerm ${CMAKE_CURRENT_SOURCE_DIR}/deb/postrm)
include(CPack)
