"""Hold the part of the public suffix list that counting by registered domain needs (ADR 0010)."""

from typing import Final

# Second-level labels under which the public suffix list lets anybody register, each with its country codes.
# Every entry is in the list, so a registered domain found with this table is never narrower than the CA's.
SECOND_LEVEL: Final[dict[str, str]] = {
    "ac": (
        "ae at bd be bw ci cn cr cy eg fj gn id il im in ir jp ke kr lk ls ma me ml mu mw mz ni nz pa pk "
        "pr rs rw se sz th tz ug uk vn za zm zw"
    ),
    "biz": "az bb cy et fj gh id in ki ls mv mw my ni nr pk pl pr ss tj tr tt vn zm",
    "co": (
        "ae ag am ao at az bb bd bi bj bw bz ci cl cm cr dm gg gl gy hu id il im in io ir it je jp ke kr "
        "lc ls ma me mg mu mw mz na ni nz om pn rs rw ss st sz th tj tm tt tz ug uk us uz ve vi za zm zw"
    ),
    "com": (
        "ac af ag ai al am ar au aw az ba bb bd bh bi bj bm bn bo br bs bt by bz ci cm cn co cu cv cw cy "
        "dm do dz ec ee eg es et fj fm fr ge gh gi gl gn gp gr gt gu gy hk hn hr ht im in io iq jo kg kh "
        "ki km kp kw ky kz la lb lc lk lr lv ly mg mk ml mo ms mt mu mv mw mx my na nf ng ni nr om pa pe "
        "pf ph pk pl pr ps pt py qa re ro sa sb sc sd sg sh sl sn so ss st sv sy tj tm tn to tr tt tw ua "
        "ug uy uz vc ve vi vn vu ws ye zm"
    ),
    "edu": (
        "ac af al ao ar au az ba bb bd bh bi bj bm bn bo br bs bt bz ci cn co cu cv cw dm do dz ec ee eg "
        "es et fj fm gd ge gh gi gl gn gp gr gt gu gy hk hn ht in io iq it jo kg kh ki km kn kp kw ky kz "
        "la lb lc lk lr ls lv ly me mg mk ml mn mo ms mt mv mw mx my mz ng ni nr om pa pe pf ph pk pl pn "
        "pr ps pt py qa rs sa sb sc sd sg sl sn so ss st sv sy tj tm to tr tt tw ua ug uy vc ve vg vn vu "
        "ws ye za zm"
    ),
    "go": "ci cr id it jp ke kr th tj tz ug",
    "gob": "ar bo cl cu do ec es gt hn mx ni pa pe pk sv ve",
    "gov": (
        "ac ae af al ao ar as au az ba bb bd bf bh bm bn br bs bt bw by bz cd cl cm cn co cx cy cz dm do "
        "dz ec ee eg et fj gd ge gh gi gn gr gu gy hk ie il in io iq ir it jo kg kh ki km kn kp kw kz la "
        "lb lc lk lr ls lt lv ly ma me mg mk ml mn mo mr ms mu mv mw my mz na ng nr om ph pk pl pn pr ps "
        "pt pw py qa rs rw sa sb sc sd sg sh sl so ss sx sy tj tl tm tn to tr tt tw ua ug uk vc ve vn ws "
        "ye za zm zw"
    ),
    "id": "au bd cv fj ir lv ly us vn",
    "info": (
        "az bb bd bj bo ec eg et fj gu ht hu in ke ki la ls ml mv nf ni nr pl pr ro sd tn tr tt tz ve vn zm"
    ),
    "me": "eg in it ke kr so ss tz uk us",
    "ne": "jp ke kr tz ug us",
    "net": (
        "ac ae af ag ai al am ar au az ba bb bd bh bj bm bn bo br bs bt bw bz ci cm cn co cu cv cw cy dm "
        "do dz ec eg et fj fm ge gg gh gl gn gp gr gt gu gy hk hn ht id il im in io iq ir je jo kg kh ki "
        "kn kw ky kz la lb lc lk lr ls lv ly ma me mk ml mo ms mt mu mv mw mx my mz na nf ng ni nr nz om "
        "pa pe ph pk pl pn pr ps pt py qa rw sa sb sc sd sg sh sl so ss st sy th tj tm tn to tr tt tw ua "
        "uk uy uz vc ve vi vn vu ws ye za zm"
    ),
    "nom": "ag co es fr io km mg nc ni pa pe pl ro tm ve za",
    "or": "at bi ci cr id it jp ke kr mu th tz ug us",
    "org": (
        "ac ae af ag ai al am ao ar au az ba bb bd bh bi bj bm bn bo br bs bt bw bz ci cn co cu cv cw cy "
        "dm do dz ec ee eg es et fj fm ge gg gh gi gl gn gp gr gt gu gy hk hn ht hu il im in io iq ir je "
        "jo kg kh ki km kn kp kw ky kz la lb lc lk lr ls lv ly ma me mg mk ml mn mo ms mt mu mv mw mx my "
        "mz na ng ni nr nz om pa pe pf ph pk pl pn pr ps pt py qa ro rs rw sa sb sc sd se sg sh sk sl sn "
        "so ss st sv sy sz tj tm tn to tr tt tw ua ug uk uy uz vc ve vi vn vu ws ye za zm zw"
    ),
    "sch": "ae bd id ir jo lk ly ng qa sa ss zm",
    "web": "bo do gu id lk nf ni pk tj tr ve za",
}

# Further suffixes of two or three labels: country specials, then hosts of other people's names.
_FURTHER = (
    "ad.jp app.br asn.au asso.fr av.tr bel.tr blog.br co.hu com.de com.fr desa.id dev.br ed.jp eng.br "
    "firm.in geek.nz gen.in gen.nz gen.tr gouv.fr govt.nz gr.jp idv.hk idv.tw in.th in.ua ind.br ind.in "
    "k12.il kiev.ua kyiv.ua law.za lg.jp ltd.uk lviv.ua mi.th muni.il my.id ngo.za nhs.uk nic.in pe.kr "
    "plc.uk police.uk priv.hu re.kr school.nz tm.fr ath.cx azurewebsites.net blogspot.com cloudfront.net "
    "cloudns.cl co.com ddns.net ddnss.de de.com dedyn.io deno.dev dnsalias.com dnshome.de duckdns.org "
    "dy.fi dyndns.info dyndns.org dynu.net dynv6.net eu.com eu.org firebaseapp.com fly.dev freeddns.org "
    "giize.com github.io gitlab.io herokuapp.com homeip.net hopto.org is-a.dev myddns.rocks mydns.jp "
    "myfritz.net myftp.org mywire.org netlify.app ngrok.app ngrok.io no-ip.org ondigitalocean.app "
    "onrender.com ooguy.com pages.dev pp.ua redirectme.net servebeer.com serveftp.com servegame.com "
    "spdns.de spdns.org synology.me sytes.net uk.com up.railway.app us.com vercel.app web.app wixsite.com "
    "workers.dev zapto.org"
)
FURTHER: Final[frozenset[str]] = frozenset(_FURTHER.split())
