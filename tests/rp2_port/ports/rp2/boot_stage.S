.global boot
boot: nop
